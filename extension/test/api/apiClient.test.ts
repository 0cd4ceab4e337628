/** Requests stay at their server. */
import { afterEach, expect, test } from "vitest";
import { HttpError, requestJson } from "../../src/api/apiClient";
import { FakeServer, type Handler } from "../support/fakeServer";

const started: FakeServer[] = [];

async function fake(handlers: Record<string, Handler>): Promise<FakeServer> {
  const server = await FakeServer.start(handlers);
  started.push(server);
  return server;
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.stop()));
});

const redirect =
  (status: number, location: string): Handler =>
  (_, response) =>
    void response.writeHead(status, { Location: location }).end("<html>Moved</html>");

const KEY = { Authorization: "Bearer s3cret", "X-Team": "red" };

function asked(server: FakeServer, body?: unknown): Promise<unknown> {
  return requestJson({ ...server.server, headers: KEY }, "/old", { body, timeoutMs: 5000 });
}

test.each([301, 302, 303, 307, 308])("a redirect with %i to another server is not followed", async (status) => {
  const other = await fake({ "/new": () => ({}) });
  const server = await fake({ "/old": redirect(status, `${other.server.base}/new`) });
  for (const body of [undefined, { prompt: "secret" }]) {
    await expect(asked(server, body)).rejects.toMatchObject({ status });
  }
  expect(other.received).toEqual([]);
});

test("the error names the other server, and nothing else of its address", async () => {
  const server = await fake({ "/old": redirect(302, "https://user:pass@login.example/sso?token=abc") });
  const error = await asked(server).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(HttpError);
  expect((error as HttpError).body).toBe('{"error":{"message":"It redirects to https://login.example."}}');
});

test.each([301, 302, 307, 308])("a redirect with %i within the server keeps method, body and key", async (status) => {
  const server = await fake({ "/old": redirect(status, "/new"), "/new": () => ({ ok: true }) });
  await expect(asked(server, { prompt: "a" })).resolves.toEqual({ ok: true });
  const [received] = server.asked("/new");
  expect(received?.body).toBe('{"prompt":"a"}');
  expect(received?.headers).toMatchObject({ authorization: "Bearer s3cret", "x-team": "red" });
});

test("a circle ends", async () => {
  const server = await fake({ "/old": redirect(307, "/old") });
  await expect(asked(server)).rejects.toMatchObject({ status: 307 });
  expect(server.asked("/old")).toHaveLength(6);
});

test("a redirect without an address is an error, and the prompt is not sent again", async () => {
  const server = await fake({ "/old": (_, response) => void response.writeHead(308).end() });
  await expect(asked(server, { prompt: "a" })).rejects.toMatchObject({ status: 308 });
  expect(server.asked("/old")).toHaveLength(1);
});
