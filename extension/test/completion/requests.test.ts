/** A request for a completion over real HTTP: what is sent, shown on demand, measured and aborted. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type * as vscode from "vscode";
import { LastRequest } from "../../src/completion/lastRequest";
import { MeasuredSpeed } from "../../src/completion/measuredSpeed";
import { Requester } from "../../src/completion/requester";
import { cursorIn } from "../support/cursors";
import { FakeServer, fails, streams, type Handler } from "../support/fakeServer";
import * as host from "../support/fakeVscode";

const log = host.fakeLog();
const piece = (text: string, finish_reason: string | null = null) => ({ choices: [{ text, finish_reason }] });
let fake: FakeServer | undefined;
let now = 0;
let requester: Requester;
let last: LastRequest;
let speed: MeasuredSpeed;

beforeEach(() => {
  host.openWindow();
  log.lines.length = 0;
  now = 0;
  last = new LastRequest();
  speed = new MeasuredSpeed();
});
afterEach(async () => {
  await fake?.stop();
  fake = undefined;
});

async function serve(handler: Handler): Promise<void> {
  fake = await FakeServer.start({ "/v1/completions": handler });
  const source = { prefix: "", label: "box:1", server: { ...fake.server, headers: { Authorization: "Bearer key" } } };
  const extras = [{ filename: "other.py", text: "SECRET = 1" }];
  const asLog = log as unknown as vscode.LogOutputChannel;
  requester = new Requester(() => ({ id: "coder", source }), () => extras, speed, last, asLog, () => now);
}

const LIMITS = { multiline: false, repeats: false, maxTokens: 128 };

async function run(text = "x = |\ny = 2"): Promise<{ text: string; finished: boolean }> {
  const pieces: string[] = [];
  const start = requester.run(cursorIn(text), LIMITS);
  if (!start) throw new Error("no request");
  const finished = await start((each) => pieces.push(each), new AbortController().signal);
  return { text: pieces.join(""), finished };
}

test("both sides and the other files are sent, marked as a completion, with the endpoint's key", async () => {
  await serve(streams(piece("1 +"), piece(" 2"), piece("", "stop"), "[DONE]"));
  expect(await run()).toEqual({ text: "1 + 2", finished: true });
  const [{ headers, body } = { headers: {}, body: "" }] = fake?.asked("/v1/completions") ?? [];
  expect(JSON.parse(body)).toEqual({
    model: "coder",
    prompt: "x = ",
    suffix: "\ny = 2",
    input_extra: [{ filename: "other.py", text: "SECRET = 1" }],
    max_tokens: 32,
    temperature: 0,
    stop: ["\n"],
    stream: true,
  });
  expect(headers).toMatchObject({ "x-stoker-priority": "completion", authorization: "Bearer key" });
});

test.each([
  ["nothing follows the cursor on its line", "x = |\ny = 2", [], 128],
  ["something does", "f(|)\ny = 2", ["\n"], 32],
])("one line that may be followed by known ones, where %s", async (_, text, stop, max_tokens) => {
  await serve(streams(piece("1", "stop"), "[DONE]"));
  await requester.run(cursorIn(text), { ...LIMITS, repeats: true })?.(() => undefined, new AbortController().signal);
  expect(JSON.parse(fake?.asked("/v1/completions")[0]?.body ?? "")).toMatchObject({ stop, max_tokens });
});

test("an answer that was cut off at its limit is not finished", async () => {
  await serve(streams(piece("1 +"), piece("", "length"), "[DONE]"));
  expect(await run()).toEqual({ text: "1 +", finished: false });
});

test.each([[[]], [[piece("1 +")]]])("an answer that breaks off is a failure, and no answer", async (pieces) => {
  await serve(streams(...pieces));
  await expect(run()).rejects.toThrow("ended before the answer");
});

test("a server that answers in one piece is understood", async () => {
  await serve(() => piece("1", "stop"));
  expect(await run()).toEqual({ text: "1", finished: true });
});

test("an aborted request closes its connection", async () => {
  await serve(streams(piece("1"), 5000));
  const abort = new AbortController();
  const start = requester.run(cursorIn("x = |"), LIMITS);
  await expect(start?.(() => abort.abort(), abort.signal)).rejects.toThrow("abort");
  await vi.waitFor(() => expect(fake?.aborted).toBe(1), 10_000);
});

test("after a failure the server is left alone, longer each time, and asked again at once when it answers", async () => {
  await serve(fails(500, {}));
  const canAsk = () => requester.run(cursorIn("x = |"), LIMITS) !== undefined;
  for (const waitMs of [1000, 2000, 4000]) {
    await run().catch((error: unknown) => requester.failed(error));
    expect(canAsk()).toBe(false);
    now += waitMs - 1;
    expect(canAsk()).toBe(false);
    now += 1;
    expect(canAsk()).toBe(true);
  }
  expect(String(requester.error)).toContain("HTTP 500");
  requester.succeeded();
  expect(requester.error).toBeUndefined();
});

test("a busy server's own time is kept to", async () => {
  await serve(fails(429, {}, { "Retry-After": "20" }));
  await run().catch((error: unknown) => requester.failed(error));
  now += 19_999;
  expect(requester.run(cursorIn("x = |"), LIMITS)).toBeUndefined();
  now += 1;
  expect(requester.run(cursorIn("x = |"), LIMITS)).toBeDefined();
});

test("an error in the stream is a failure", async () => {
  await serve(streams(piece("1"), { error: { message: "out of memory" } }));
  await expect(run()).rejects.toThrow("out of memory");
});

test("what was sent can be read, and is in no log", async () => {
  await serve(streams(piece("ANSWER"), piece("", "stop"), "[DONE]"));
  expect(last.provideTextDocumentContent()).toContain("Nothing has been sent");
  await run("SECRET prefix|SECRET suffix");
  const shown = last.provideTextDocumentContent();
  for (const part of ["box:1", "coder", "SECRET prefix", "SECRET suffix", "other.py", "SECRET = 1", "ANSWER"]) {
    expect(shown).toContain(part);
  }
  expect(shown).not.toContain("Bearer");
  await run().catch((error: unknown) => requester.failed(error));
  expect(log.lines.join("\n")).not.toMatch(/SECRET|ANSWER/);
});

test("reading ahead asks for one token, and what it sends can be read too", async () => {
  await serve(streams(piece("1", "stop"), "[DONE]"));
  await requester.warmUp(cursorIn("x = |"))?.(() => {}, new AbortController().signal);
  expect(JSON.parse(fake?.received[0]?.body ?? "")).toMatchObject({ max_tokens: 1, prompt: "x = " });
  expect(last.provideTextDocumentContent()).toContain("SECRET = 1");
  expect(speed.latencyMs).toBeUndefined();
});
