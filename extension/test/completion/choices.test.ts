/** What is decided from numbers and lists: the model, the wait, how much is sent and asked for, when it is
 * enough. */
import { describe, expect, test } from "vitest";
import { completionModel, nextEditModel } from "../../src/completion/completionModel";
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
    ["another predicts edits", served("chat", "chat", "sweep-next-edit-1.5b", "coder"), undefined, "coder"],
    ["only the chat's own was made to complete", served("chat", "sweep-next-edit-1.5b", "chat"), undefined, "chat"],
    ["nothing else is served", served(undefined, "sweep-next-edit-1.5b"), undefined, "sweep-next-edit-1.5b"],
    ["the user names one", served("chat", "chat", "coder"), "chat", "chat"],
    ["the user names one that is not served", served("chat", "coder"), "other", undefined],
  ])("where %s", (_, models, named, id) => {
    expect(completionModel(models, named)?.id).toBe(id);
  });

  test("of the next edit is one that was made for it", () => {
    expect(nextEditModel(served("chat", "chat", "sweep-next-edit-1.5b"))?.id).toBe("sweep-next-edit-1.5b");
    expect(nextEditModel(served("chat", "chat", "coder"))).toBeUndefined();
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
  const wait = (intervalMs: number, latencyMs: number) => typing(intervalMs).delayMs(LAST * intervalMs, latencyMs, false);
  test("is short where the answer comes before the next key", () => {
    expect(wait(200, 100)).toBe(60);
  });
  test("is a little longer than from key to key where answers come later", () => {
    expect(wait(200, 600)).toBeCloseTo(220);
    expect(wait(120, 600)).toBeLessThan(wait(300, 600));
  });
  test("is longer the less steady a person types, so that nearly all keys come before", () => {
    const pace = new TypingPace();
    const intervals = [140, 260, 180, 220, 150, 250, 200, 190, 230, 160];
    let [now, late] = [0, 0];
    for (let key = 0; key < 200; key += 1) {
      const interval = intervals[key % intervals.length] ?? 0;
      if (key > 20 && pace.delayMs(now, 600, false) < interval) late += 1;
      pace.typed((now += interval));
    }
    expect(late).toBeLessThan(20);
    expect(pace.delayMs(now, 600, false)).toBeLessThan(320);
  });
  test("is short behind the end of a token, where the engine has next to nothing to read", () => {
    expect(typing(200).delayMs(LAST * 200, 600, true)).toBe(60);
  });
  test("counts from the key, not from VS Code's question", () => {
    expect(typing(200).delayMs(LAST * 200 + 70, 600, false)).toBeCloseTo(150);
    expect(typing(200).delayMs(LAST * 200 + 5000, 600, false)).toBe(0);
  });
  test("is not changed by a pause, which is not typing", () => {
    const slow = typing(400);
    slow.typed(1e6);
    expect(slow.delayMs(1e6, 900, false)).toBe(wait(400, 900));
  });
});

describe("what is sent and asked for", () => {
  test("less goes to a slow engine, more to a fast one; the prefix keeps its start", () => {
    const [slow, fast] = [new MeasuredSpeed(), new MeasuredSpeed()];
    const { prefixChars, suffixChars, extraChars } = slow.window;
    slow.read(16_000, 7000);
    fast.read(700, 7000);
    expect(slow.window).toEqual({ prefixChars, suffixChars: 120, extraChars: extraChars / 2 });
    expect(fast.window).toEqual({ prefixChars, suffixChars: 2 * suffixChars, extraChars: 2 * extraChars });
  });
  test("behind the cursor goes what is read in a quarter of a second, the way to a far engine not counted", () => {
    const [near, far] = [new MeasuredSpeed(), new MeasuredSpeed()];
    for (const [speed, awayMs] of [[near, 0], [far, 150]] as const) {
      for (let round = 0; round < 9; round += 1) speed.measured(awayMs, awayMs + 100, 20, 1);
      speed.measured(awayMs + 500, awayMs + 600, 20, 1000);
    }
    expect([near.window.suffixChars, far.window.suffixChars]).toEqual([500, 500]);
    expect([near.readingMs(3000), far.readingMs(3000)]).toEqual([1500, 1500]);
  });
  test("nothing is known of an engine that has read nothing", () => {
    const speed = new MeasuredSpeed();
    const { window } = speed;
    speed.measured(50, 300, 20, 1);
    expect([speed.window, speed.readingMs(7000)]).toEqual([window, 0]);
  });
  test("a request that had all to read is no measure of the time to an answer", () => {
    const speed = new MeasuredSpeed();
    speed.measured(50, 300, 20, 1);
    for (let round = 0; round < 9; round += 1) speed.measured(8000, 9000, 20, 7000);
    expect(speed.latencyMs).toBe(300);
  });
  test("several lines get as many tokens as a person waits for, one line a few", () => {
    const speed = new MeasuredSpeed();
    expect(speed.maxTokens(true, 128)).toBe(128);
    speed.measured(100, 100 + 19 * 15, 20, 1);
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
