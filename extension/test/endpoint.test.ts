import { expect, test } from "vitest";
import { EndpointError, parseEndpoint, storable } from "../src/endpoint";

test.each([
  ["http://localhost:8080", "http://localhost:8080"],
  ["  http://localhost:8080/  ", "http://localhost:8080"],
  ["http://localhost:8080/v1", "http://localhost:8080"],
  ["http://localhost:8080/v1///", "http://localhost:8080"],
  ["http://localhost:8080/v1/chat/completions", "http://localhost:8080"],
  ["http://localhost:8080/v1/models", "http://localhost:8080"],
  ["https://api.example.com/stoker/v1/", "https://api.example.com/stoker"],
  ["localhost:8080", "http://localhost:8080"],
  ["gpu-box:8000/v1", "http://gpu-box:8000"],
  ["192.168.1.5", "http://192.168.1.5"],
  ["llm.example.com", "https://llm.example.com"],
  ["llm.example.com:8000", "http://llm.example.com:8000"],
  ["nas.local", "http://nas.local"],
  ["::1", "http://[::1]"],
  ["[::1]:8080/v1", "http://[::1]:8080"],
  ["http://[fe80::1]:8080", "http://[fe80::1]:8080"],
  ["http://fe80::1/v1", "http://[fe80::1]"],
  ["0.0.0.0:8000", "http://127.0.0.1:8000"],
  ["http://[::]:8000", "http://[::1]:8000"],
  ['"http://localhost:8080"', "http://localhost:8080"],
  ["HTTP://LocalHost:8080/V1", "http://localhost:8080"],
  ["http://localhost:8080/V1/Chat/Completions", "http://localhost:8080"],
  ["llm.example.com:80", "http://llm.example.com"],
  ["llm.example.com:80/v1", "http://llm.example.com"],
  ["::1:8080", "http://[::1]:8080"],
  ["http://::1:8080/v1", "http://[::1]:8080"],
  [":::8080", "http://[::1]:8080"],
  ["http://host/?x=1#y", "http://host"],
  ["http:/localhost:8080", "http://localhost:8080"],
  ["http:localhost:8080/", "http://localhost:8080"],
  ["https//localhost:8080", "https://localhost:8080"],
  ["http://my_container:80", "http://my_container"],
  ["dead:beef::1", "http://[dead:beef::1]"],
  ["//box:1", "http://box:1"],
  ["box.:1", "http://box.:1"],
])("%s means %s", (text, base) => {
  expect(parseEndpoint(text)).toEqual({ base });
});

test.each(["", "   ", "\n"])("blank text is no endpoint", (text) => {
  expect(parseEndpoint(text)).toBeUndefined();
});

test.each([
  ["htp:/wrong url", "An address has no spaces in it."],
  ["http://a b", "An address has no spaces in it."],
  ["localhost 8080", "An address has no spaces in it."],
  ["http://box/a\tb", "An address has no spaces in it."],
  ["htp:/wrong", "htp: is not http:// or https://"],
  ["htp://wrong", "htp: is not http:// or https://"],
  ["HTTPP://x", "httpp: is not http:// or https://"],
  ["ftp://host", "ftp: is not http:// or https://"],
  ["file:///etc/passwd", "file: is not http:// or https://"],
  ["C:\\models", "c: is not http:// or https://"],
  ["/etc/passwd", "It is a path, and not the address of a server."],
  ["http:8080", "It has no host. For a port of this machine, write localhost:8080."],
  ["8080", "It has no host. For a port of this machine, write localhost:8080."],
  ["http://me:50%@host", "Write a % in the user name or password as %25."],
  ...[
    "http://", "http://:80", "http://host:99999", "localhost:abc", "localhost:80:90", "http://[::1", "192.168.1.300",
    "http://http://x", "~/x", "./x", "...", "http://a..b", "http://-", "http://-a", "x;y", "a,b", "$HOST:80", "http://<host>:80",
  ].map((text) => [text, "It is not a URL."]),
])("%s is refused: %s", (text, reason) => {
  expect(() => parseEndpoint(text!)).toThrow(new EndpointError(reason));
  expect(() => storable(text!)).toThrow(new EndpointError(reason));
});

test.each([
  ["", ""],
  [" \n", ""],
  [" localhost:8080/v1/ ", "http://localhost:8080"],
  ["llm.example.com/v1/chat/completions", "https://llm.example.com"],
  ["https://me:p%40ss@box:1/v1/", "https://me:p%40ss@box:1"],
  ["me@box", "http://me@box"],
])("%j is kept as %j", (text, kept) => {
  expect(storable(text)).toBe(kept);
  expect(parseEndpoint(kept)).toEqual(parseEndpoint(text));
});

test("credentials move from the URL to a header", () => {
  const endpoint = parseEndpoint("https://me:p%40ss@host:1/v1");
  expect(endpoint?.base).toBe("https://host:1");
  expect(endpoint?.authorization).toBe(`Basic ${btoa("me:p@ss")}`);
});
