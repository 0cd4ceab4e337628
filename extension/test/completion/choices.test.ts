/** What is decided from numbers and lists: the model, the wait, how much is sent and asked for, when it is
 * enough. */
import { describe, expect, test } from "vitest";
import { completionModel } from "../../src/completion/completionModel";
import { isEnough } from "../../src/completion/enough";
import { MeasuredSpeed } from "../../src/completion/measuredSpeed";
import { TypingPace } from "../../src/completion/typingPace";
import type { ModelEntry } from "../../src/servers/modelEntry";
import { cursorIn } from "../support/cursors";

const source = { prefix: "", label: "box:1", server: { base: "http://box:1", headers: {} } };

describe("the model", () => {
  const served = (chat: string | undefined, ...ids: string[]) => ({
    infillModels: ids.map((id) => ({ id, source })),
    find: () => (chat === undefined ? undefined : ({ model: { id: chat } } as ModelEntry)),
  });
  test.each<[string, ReturnType<typeof served>, string | undefined, string | undefined]>([
    ["there is none", served("chat"), undefined, undefined],
    ["the chat's own completes", served("chat", "chat"), undefined, "chat"],
    ["another is served beside it", served("chat", "chat", "coder"), undefined, "coder"],
    ["nothing chats", served(undefined, "coder"), undefined, "coder"],
    ["the user names one", served("chat", "chat", "coder"), "chat", "chat"],
    ["the user names one that is not served", served("chat", "coder"), "other", undefined],
  ])("where %s", (_, models, named, id) => {
    expect(completionModel(models, named)?.id).toBe(id);
  });
});

describe("the wait before a request", () => {
  const typing = (intervalMs: number) => {
    const pace = new TypingPace();
    for (let key = 0; key < 30; key += 1) pace.typed(key * intervalMs);
    return pace;
  };
  const LAST = 29;
  /** Right after the last key. */
  const wait = (intervalMs: number, latencyMs: number, usedShare = 1, prefix = "foo") =>
    typing(intervalMs).delayMs(LAST * intervalMs, prefix, latencyMs, usedShare);
  test("is short where the answer comes before the next key", () => {
    expect(wait(200, 100, 0)).toBe(60);
  });
  test("is half a key long where answers come later but are of use, and more than a key where they are not", () => {
    expect(wait(200, 600, 1)).toBeCloseTo(100);
    expect(wait(200, 600, 0.5)).toBeGreaterThan(200);
    expect(wait(200, 600, 0.9)).toBeGreaterThan(wait(200, 600, 0.95));
  });
  test("counts from the key, not from VS Code's question", () => {
    expect(typing(200).delayMs(LAST * 200 + 70, "foo", 600, 1)).toBeCloseTo(30);
    expect(typing(200).delayMs(LAST * 200 + 5000, "foo", 600, 1)).toBe(0);
  });
  test("grows with a slow typist, and a pause is not typing", () => {
    expect(wait(400, 900)).toBeGreaterThan(wait(100, 900));
    const slow = typing(400);
    slow.typed(1e6);
    expect(slow.delayMs(1e6, "foo", 900, 1)).toBe(wait(400, 900));
  });
  test("is shorter where something new begins", () => {
    for (const prefix of ["x = ", "foo.", "foo(", "x\n"]) {
      expect(wait(200, 600, 1, prefix)).toBeLessThan(wait(200, 600));
    }
  });
});

describe("what is sent and asked for", () => {
  test("less goes to a slow engine, more to a fast one; the prefix keeps its start", () => {
    const [slow, fast] = [new MeasuredSpeed(), new MeasuredSpeed()];
    const { prefixChars, suffixChars, extraChars } = slow.window;
    for (let round = 0; round < 9; round += 1) {
      slow.measured(2000, 3000, 20);
      fast.readAhead(300);
      fast.measured(50, 300, 20);
    }
    expect(slow.window.suffixChars).toBeLessThan(suffixChars);
    expect(slow.window.extraChars).toBeLessThan(extraChars);
    expect(fast.window.suffixChars).toBeGreaterThan(suffixChars);
    expect([slow.window.prefixChars, fast.window.prefixChars]).toEqual([prefixChars, prefixChars]);
  });
  test("less goes to one that is long at reading ahead, and no more to one that never did", () => {
    const [slow, unknown] = [new MeasuredSpeed(), new MeasuredSpeed()];
    const { suffixChars } = slow.window;
    slow.readAhead(20_000);
    unknown.measured(50, 300, 20);
    expect(slow.window.suffixChars).toBeLessThan(suffixChars);
    expect(unknown.window.suffixChars).toBe(suffixChars);
  });
  test("a request that had all to read tells nothing of those to come", () => {
    const speed = new MeasuredSpeed();
    const { window } = speed;
    speed.measured(50, 300, 20);
    for (let round = 0; round < 9; round += 1) speed.measured(8000, 9000, 20, false);
    expect([speed.window, speed.latencyMs]).toEqual([window, 300]);
  });
  test("several lines get as many tokens as a person waits for, one line a few", () => {
    const speed = new MeasuredSpeed();
    expect(speed.maxTokens(true, 128)).toBe(128);
    speed.measured(100, 100 + 19 * 30, 20);
    expect(speed.maxTokens(true, 128)).toBe(40);
    expect(speed.maxTokens(false, 128)).toBe(32);
    expect(speed.maxTokens(true, 16)).toBe(16);
  });
});

describe("an answer is enough", () => {
  test.each([
    ["one line", "1\n", "x = |", false, true],
    ["a line that is not whole yet", "1", "x = |", false, false],
    ["only a line end before the line", "\n  a", "if x:|", false, false],
    ["a block that is left", "a\n    b\nc\n", "if x:\n    |", true, true],
    ["a block that goes on", "a\n    b\n", "if x:\n    |", true, false],
    ["a last line that may still grow", "a\n    b\n", "    |", true, false],
    ["two blank lines", "a\n\n\n", "|", true, true],
  ])("%s", (_, text, at, multiline, enough) => {
    expect(isEnough(text, cursorIn(at), multiline)).toBe(enough);
  });
});
