/** A next edit asked of a model over real HTTP: what is sent, what comes of the answer, and of failures. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type * as vscode from "vscode";
import { LastRequest } from "../../../src/completion/lastRequest";
import { NextEditCall } from "../../../src/completion/nextEdit/nextEditCall";
import { FakeServer, fails, streams, type Handler } from "../../support/fakeServer";
import * as host from "../../support/fakeVscode";

const log = host.fakeLog();
const piece = (text: string, finish_reason: string | null = null) => ({ choices: [{ text, finish_reason }] });
const QUESTION = {
  path: "a.py",
  lines: ["def f(a):", "    return a", "", "f(1)"],
  edits: [{ line: 0, before: ["def f():"], after: ["def f(a):"] }],
  cursorLine: 0,
};
let fake: FakeServer;
let last: LastRequest;

beforeEach(() => {
  host.openWindow();
  log.lines.length = 0;
  last = new LastRequest();
});
afterEach(() => fake.stop());

async function ask(handler: Handler, id = "sweep-next-edit-1.5b", times = 1) {
  fake = await FakeServer.start({ "/v1/completions": handler });
  const source = { prefix: "", label: "box:1", server: fake.server };
  const call = new NextEditCall(() => ({ id, source }), last, log as unknown as vscode.LogOutputChannel);
  let found;
  for (let time = 0; time < times; time += 1) found = await call.ask(QUESTION, new AbortController().signal);
  return found;
}

const ANSWER = streams(piece("def f(a):\n    return a\n"), piece("\nf(1, 2)\n", "stop"), "[DONE]");

test("the model's own form is sent, marked as a completion, and shown on demand", async () => {
  expect(await ask(ANSWER)).toEqual([{ line: 3, endLine: 4, lines: ["f(1, 2)"] }]);
  const [{ headers, body } = { headers: {}, body: "" }] = fake.asked("/v1/completions");
  expect(headers).toMatchObject({ "x-stoker-priority": "completion" });
  const sent = JSON.parse(body) as Record<string, unknown>;
  expect(sent).toMatchObject({ model: "sweep-next-edit-1.5b", temperature: 0, stop: ["<|file_sep|>", "</s>", "<|endoftext|>"] });
  expect(sent["prompt"]).toMatch(/<\|file_sep\|>updated\/a\.py\n$/);
  expect(last.provideTextDocumentContent()).toContain("updated/a.py");
  expect(last.provideTextDocumentContent()).toContain("f(1, 2)");
});

test("an answer that was cut off is dropped: the lines that it lacks were not meant to go", async () => {
  expect(await ask(streams(piece("def f(a):\n    return a, b", "length"), "[DONE]"))).toEqual([]);
});

test("a model without such a form is not asked", async () => {
  expect(await ask(ANSWER, "qwen2.5-coder-1.5b")).toEqual([]);
  expect(fake.asked("/v1/completions")).toEqual([]);
});

test("after a failure the server is left alone, and the log has nothing of the text", async () => {
  expect(await ask(fails(500, "f(1) is in the message"), "sweep-next-edit", 3)).toEqual([]);
  expect(fake.asked("/v1/completions")).toHaveLength(1);
  expect(log.lines.join()).toContain("HTTP 500");
  expect(log.lines.join()).not.toContain("f(1)");
});
