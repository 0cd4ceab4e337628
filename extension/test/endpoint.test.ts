import { expect, test } from "vitest";
import { EndpointError, parseEndpoint } from "../src/endpoint";

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
])("%s means %s", (text, base) => {
  expect(parseEndpoint(text)).toEqual({ base });
});

test.each(["", "   ", "\n"])("blank text is no endpoint", (text) => {
  expect(parseEndpoint(text)).toBeUndefined();
});

test.each([
  "ftp://host",
  "http://",
  "http://a b",
  "http://host:99999",
  "file:///etc/passwd",
  "http://me:50%@host",
])("%s is refused", (text) => {
  expect(() => parseEndpoint(text)).toThrow(EndpointError);
});

test("credentials move from the URL to a header", () => {
  const endpoint = parseEndpoint("https://me:p%40ss@host:1/v1");
  expect(endpoint?.base).toBe("https://host:1");
  expect(endpoint?.authorization).toBe(`Basic ${btoa("me:p@ss")}`);
});
