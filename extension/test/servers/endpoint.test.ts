import { expect, test } from "vitest";
import { EndpointError, parseEndpoint, normalizeEndpoint } from "../../src/servers/endpoint";

test.each([
  ["http://localhost:8080", "http://localhost:8080"],
  ["  http://localhost:8080/  ", "http://localhost:8080"],
  ["http://localhost:8080/v1", "http://localhost:8080"],
  ["http://localhost:8080/v1///", "http://localhost:8080"],
  ["http://localhost:8080/v1/chat/completions", "http://localhost:8080"],
  ["http://localhost:8080/v1/chat/completions/input_tokens", "http://localhost:8080"],
  ["http://localhost:8080/v1/completions", "http://localhost:8080"],
  ["http://localhost:8080/v1/models", "http://localhost:8080"],
  ["http://localhost:8080/v1/messages", "http://localhost:8080"],
  ["http://localhost:8080/v1/messages/count_tokens", "http://localhost:8080"],
  ["http://localhost:8080/v1/responses/", "http://localhost:8080"],
  ["http://localhost:8080/v1/embeddings", "http://localhost:8080"],
  ["https://llm.example.com/v1/team/messages-api", "https://llm.example.com/v1/team/messages-api"],
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

/** By the reason. Stoker's Python code refuses the same, and its tests read this table. */
const REFUSED: Record<string, string[]> = {
  "An address cannot contain spaces.": ["htp:/wrong url", "http://a b", "localhost 8080", "http://box/a\tb"],
  "The address must start with http:// or https://, not htp:": ["htp:/wrong", "htp://wrong", "HTP://x"],
  "The address must start with http:// or https://, not file:": ["file:///etc/passwd"],
  "The address must start with http:// or https://, not c:": ["C:\\models"],
  "This is a path, not the address of a server.": ["/etc/passwd", "http:///x"],
  "The host is missing. For a port on this machine, write localhost:8080.": ["8080", "http://8080"],
  "Write % in the user name or password as %25.": ["http://me:50%@host"],
  "Write http:// or https:// exactly once, with the colon and both slashes.": [
    "http:/host", "http:host:8080", "https//host", "http://http://x", "http:8080",
  ],
  "This is not a valid URL.": [
    "http://", "http://:80", "http://host:99999", "host:0", "host:abc", "host:80:90", "http://[::1", "192.168.1.300",
    "~/x", "./x", "...", "http://a..b", "http://-", "http://-a", "x;y", "a,b", "$HOST:80", "http://<host>:80",
  ],
};

test.each(Object.entries(REFUSED).flatMap(([reason, texts]) => texts.map((text) => [text, reason])))(
  "%s is refused: %s",
  (text, reason) => {
    expect(() => parseEndpoint(text!)).toThrow(new EndpointError(reason));
    expect(() => normalizeEndpoint(text!)).toThrow(new EndpointError(reason));
  },
);

const NORMALIZED = {
  "": "",
  " \n": "",
  " localhost:8080/v1/ ": "http://localhost:8080",
  "llm.example.com/v1/chat/completions": "https://llm.example.com",
  "https://me:p%40ss@box:1/v1/": "https://me:p%40ss@box:1",
  "me@box": "http://me@box",
};

test.each(Object.entries(NORMALIZED))("%j is stored as %j", (text, kept) => {
  expect(normalizeEndpoint(text)).toBe(kept);
  expect(parseEndpoint(kept)).toEqual(parseEndpoint(text));
});

test("credentials move from the URL to a header", () => {
  const endpoint = parseEndpoint("https://me:p%40ss@host:1/v1");
  expect(endpoint?.base).toBe("https://host:1");
  expect(endpoint?.authorization).toBe(`Basic ${btoa("me:p@ss")}`);
});
