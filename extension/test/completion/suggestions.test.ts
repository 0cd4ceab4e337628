/** One suggestion after another: what is asked, kept, aborted and used again. */
import { beforeEach, expect, test, vi } from "vitest";
import type { LogOutputChannel } from "vscode";
import type { Cursor } from "../../src/completion/cursor";
import type { Run } from "../../src/completion/flight";
import { LastRequest } from "../../src/completion/lastRequest";
import { MeasuredSpeed } from "../../src/completion/measuredSpeed";
import { Requester } from "../../src/completion/requester";
import { Suggestions, type Change } from "../../src/completion/suggestions";
import { TypingPace } from "../../src/completion/typingPace";
import type { InfillModel } from "../../src/servers/modelRegistry";
import { cursorIn } from "../support/cursors";

/** A request that the test answers. */
interface Asked {
  readonly cursor: Cursor;
  readonly multiline: boolean;
  readonly signal: AbortSignal;
  readonly writes: (text: string) => void;
  readonly ends: (finished?: boolean) => void;
  readonly fails: (error: Error) => void;
}

let asked: Asked[];
let failures: unknown[];
let askedAgain: number;
let mayAskAgain: boolean;
let suggestions: Suggestions;
let canRun: boolean;
let waitMs: number | undefined;

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  failures = [];
  askedAgain = 0;
  mayAskAgain = true;
  canRun = true;
  waitMs = 0;
  const run = (cursor: Cursor, multiline: boolean): Run | undefined =>
    canRun
      ? (writes, signal) =>
          new Promise((resolve, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason as Error));
            asked.push({ cursor, multiline, signal, writes, ends: (finished = true) => resolve(finished), fails: reject });
          })
      : undefined;
  suggestions = new Suggestions(
    {
      run,
      failed: (error) => failures.push(error),
      succeeded: () => {},
      askAgain: () => {
        askedAgain += 1;
        return mayAskAgain;
      },
      waitMs: () => waitMs,
      refine: ({ rest }) => (rest.trim() ? rest : undefined),
      now: () => Date.now(),
    },
    new TypingPace(),
    new MeasuredSpeed(),
  );
  return () => vi.useRealTimers();
});

const WISH = { isExplicit: false, multiline: false };

function suggest(text: string, wish = WISH): { shown: Promise<string | undefined>; cancel: () => void } {
  const controller = new AbortController();
  return { shown: suggestions.suggest(cursorIn(text), wish, controller.signal), cancel: () => controller.abort() };
}

function typed(text: string, before: string): Change {
  const { uri, line, character } = cursorIn(before);
  return { uri, line, character, removed: 0, text };
}

const settled = () => vi.advanceTimersByTimeAsync(1000);
/** Before VS Code asks about the key, what it made stale is aborted. */
const closed = () => vi.advanceTimersByTimeAsync(10);

async function answered(text: string, answer: string): Promise<string | undefined> {
  const { shown } = suggest(text);
  await settled();
  asked.at(-1)?.writes(answer);
  asked.at(-1)?.ends();
  return shown;
}

test("the request waits until the person pauses, and its answer is shown", async () => {
  suggestions.changed([typed(" ", "x =|")]);
  const { shown } = suggest("x = |");
  await vi.advanceTimersByTimeAsync(10);
  expect(asked).toEqual([]);
  await settled();
  asked[0]?.writes("1");
  asked[0]?.ends();
  expect(await shown).toBe("1");
});

test("an explicit wish waits for nothing", async () => {
  suggestions.changed([typed(" ", "x =|")]);
  suggest("x = |", { ...WISH, isExplicit: true });
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toHaveLength(1);
});

test("a question that VS Code takes back during the wait is never asked", async () => {
  const { shown, cancel } = suggest("x = |");
  cancel();
  await settled();
  expect(await shown).toBeUndefined();
  expect(asked).toEqual([]);
});

test("typing what the answer says asks nothing, and going back shows it again", async () => {
  await answered("x = |", "number + 1");
  expect(await suggest("x = num|").shown).toBe("ber + 1");
  expect(await suggest("x = |").shown).toBe("number + 1");
  expect(asked).toHaveLength(1);
});

test("an answer that was typed to its end is followed by another", async () => {
  await answered("x = |", "1");
  expect(await answered("x = 1|", " + y")).toBe(" + y");
  expect(asked).toHaveLength(2);
});

test("an empty answer is an answer: the same place is not asked about again", async () => {
  expect(await answered("x = |", "")).toBeUndefined();
  expect(await suggest("x = |").shown).toBeUndefined();
  expect(asked).toHaveLength(1);
});

test("a running request serves the person who types what it is about to write", async () => {
  const first = suggest("x = |");
  await settled();
  suggestions.changed([typed("n", "x = |")]);
  first.cancel();
  const second = suggest("x = n|");
  await vi.advanceTimersByTimeAsync(100);
  expect(asked[0]?.signal.aborted).toBe(false);
  asked[0]?.writes("number");
  asked[0]?.ends();
  expect(await second.shown).toBe("umber");
  expect(asked).toHaveLength(1);
});

test("where it writes something else, it is aborted at once, and another begins when the person pauses", async () => {
  const first = suggest("x = |");
  await settled();
  suggestions.changed([typed("n", "x = |")]);
  first.cancel();
  const second = suggest("x = n|");
  asked[0]?.writes("other");
  await vi.advanceTimersByTimeAsync(0);
  expect(asked[0]?.signal.aborted).toBe(true);
  await settled();
  asked[1]?.writes("ame");
  asked[1]?.ends();
  expect(await second.shown).toBe("ame");
  expect(failures).toEqual([]);
});

test.each<[string, Change]>([
  ["a key that the answer does not have", typed("z", "x = |")],
  ["a change elsewhere in the file", { ...typed("n", "x = |"), line: 7 }],
  ["a deleted character", { ...typed("", "x =|"), removed: 1 }],
])("%s aborts a request at once, before VS Code asks again", async (_, change) => {
  void suggest("x = |");
  await settled();
  asked[0]?.writes("number");
  suggestions.changed([change]);
  await closed();
  expect(asked[0]?.signal.aborted).toBe(true);
  expect(suggestions.counts.aborted).toBe(1);
});

test("a change of several places aborts it", async () => {
  void suggest("x = |");
  await settled();
  suggestions.changed([typed("n", "x = |"), typed("n", "y|")]);
  await closed();
  expect(asked[0]?.signal.aborted).toBe(true);
});

test("a bracket that the editor closes by itself, and Backspace over what was typed, abort nothing", async () => {
  void suggest("f|");
  await settled();
  suggestions.changed([typed("()", "f|")]);
  suggestions.changed([typed("a", "f(|")]);
  suggestions.changed([{ ...typed("", "f(|"), removed: 1 }]);
  expect(asked[0]?.signal.aborted).toBe(false);
  asked[0]?.writes("(x)");
  suggestions.changed([typed("y", "f(|")]);
  await closed();
  expect(asked[0]?.signal.aborted).toBe(true);
});

test.each([
  ["to a line above", { line: 0, character: 0 }],
  ["to a line below", { line: 3, character: 0 }],
  ["back in its line", { line: 1, character: 2 }],
])("a cursor that is moved %s aborts it, one that follows what is typed does not", async (_, place) => {
  void suggest("a = 1\nx = |");
  await settled();
  suggestions.changed([typed("n\n", "a = 1\nx = |")]);
  suggestions.moved("file:///here", { line: 2, character: 0 });
  expect(asked[0]?.signal.aborted).toBe(false);
  suggestions.moved("file:///here", place);
  expect(asked[0]?.signal.aborted).toBe(true);
});

test("a request that nobody waits for after a key is aborted soon", async () => {
  const { cancel } = suggest("x = |");
  await settled();
  suggestions.changed([typed("n", "x = |")]);
  cancel();
  await vi.advanceTimersByTimeAsync(500);
  expect(asked[0]?.signal.aborted).toBe(true);
  expect(askedAgain).toBe(0);
});

test("where VS Code takes its question back by itself, it asks again, and that joins the running request", async () => {
  const { cancel } = suggest("x = |");
  await settled();
  cancel();
  await vi.advanceTimersByTimeAsync(500);
  expect(askedAgain).toBe(1);
  const { shown } = suggest("x = |");
  asked[0]?.writes("1");
  asked[0]?.ends();
  expect(await shown).toBe("1");
  expect(asked).toHaveLength(1);
});

test("so it does where the request had not begun", async () => {
  suggestions.changed([typed(" ", "x =|")]);
  const { cancel } = suggest("x = |");
  cancel();
  await settled();
  expect(asked).toEqual([]);
  expect(askedAgain).toBe(1);
});

test("after a failure it asks again once the server may be asked", async () => {
  const { shown } = suggest("x = |");
  await settled();
  waitMs = 5000;
  asked[0]?.fails(new Error("busy"));
  expect(await shown).toBeUndefined();
  await vi.advanceTimersByTimeAsync(4000);
  expect(askedAgain).toBe(0);
  waitMs = 0;
  await vi.advanceTimersByTimeAsync(2000);
  expect(askedAgain).toBe(1);
});

test("an explicit question is not answered with nothing while the server may be asked again", async () => {
  const { shown } = suggest("x = |", { ...WISH, isExplicit: true });
  await settled();
  waitMs = 5000;
  asked[0]?.fails(new Error("busy"));
  await vi.advanceTimersByTimeAsync(4000);
  expect(asked).toHaveLength(1);
  waitMs = 0;
  await vi.advanceTimersByTimeAsync(2000);
  asked[1]?.writes("1");
  asked[1]?.ends();
  expect(await shown).toBe("1");
  expect(askedAgain).toBe(0);
});

test("it ends where VS Code takes it back, and after a minute", async () => {
  canRun = false;
  const [taken, kept] = [suggest("x = |", { ...WISH, isExplicit: true }), suggest("y = |", { ...WISH, isExplicit: true })];
  taken.cancel();
  expect(await taken.shown).toBeUndefined();
  await vi.advanceTimersByTimeAsync(62_000);
  expect(await kept.shown).toBeUndefined();
});

test("a request that was dropped while the person waits is asked for again", async () => {
  const { shown } = suggest("x = |");
  await settled();
  suggestions.drop();
  expect(await shown).toBeUndefined();
  await settled();
  expect(askedAgain).toBe(1);
});

test.each<[string, () => void]>([
  ["types on", () => suggestions.changed([typed("y", "x = |")])],
  ["moves the cursor", () => suggestions.moved("file:///here", { line: 0, character: 1 })],
  ["goes to another editor", () => suggestions.left()],
  ["is asked something else by VS Code", () => void suggest("x = 1\n|")],
])("after a failure, for a person who %s it does not ask again", async (_, goesOn) => {
  const { shown } = suggest("x = |");
  await settled();
  waitMs = 0;
  asked[0]?.fails(new Error("busy"));
  await shown;
  expect(failures).toHaveLength(1);
  goesOn();
  await settled();
  expect(askedAgain).toBe(0);
});

test("where there is no model, it asks again once there is one", async () => {
  waitMs = undefined;
  suggestions.unanswered(cursorIn("x = |"));
  await vi.advanceTimersByTimeAsync(20_000);
  expect(askedAgain).toBe(0);
  waitMs = 0;
  await vi.advanceTimersByTimeAsync(1000);
  expect(askedAgain).toBe(1);
});

test("an answer that VS Code may have dropped on its way is asked for again, and costs no request", async () => {
  await answered("x = |", "number + 1");
  await vi.advanceTimersByTimeAsync(200);
  expect(askedAgain).toBe(1);
  expect(await suggest("x = |", { ...WISH, isExplicit: true }).shown).toBe("number + 1");
  await vi.advanceTimersByTimeAsync(5000);
  expect(askedAgain).toBe(1);
  expect(asked).toHaveLength(1);
});

test("an answer that came at once was seen, and is not asked for again", async () => {
  const { shown } = suggest("x = |", { ...WISH, isExplicit: true });
  await vi.advanceTimersByTimeAsync(0);
  asked[0]?.writes("number + 1");
  asked[0]?.ends();
  expect(await shown).toBe("number + 1");
  expect(await suggest("x = |").shown).toBe("number + 1");
  await vi.advanceTimersByTimeAsync(5000);
  expect(askedAgain).toBe(0);
});

test("while VS Code does not ask although it was made to, it is made to again", async () => {
  waitMs = undefined;
  suggestions.unanswered(cursorIn("x = |"));
  waitMs = 0;
  await vi.advanceTimersByTimeAsync(4000);
  expect(askedAgain).toBeGreaterThan(2);
  const { shown } = suggest("x = |", { ...WISH, isExplicit: true });
  await vi.advanceTimersByTimeAsync(0);
  asked[0]?.writes("1");
  asked[0]?.ends();
  expect(await shown).toBe("1");
  const before = askedAgain;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(askedAgain).toBe(before);
});

test("it gives up after a minute, however often it was asked again", async () => {
  canRun = false;
  for (let second = 0; second < 80; second += 1) {
    const before = askedAgain;
    await suggest("x = |").shown;
    await vi.advanceTimersByTimeAsync(1000);
    if (askedAgain === before) break;
  }
  expect(askedAgain).toBeGreaterThan(20);
  expect(askedAgain).toBeLessThan(62);
});

test("a person who goes on or elsewhere meanwhile is not asked for", async () => {
  const { cancel } = suggest("x = |");
  await settled();
  cancel();
  suggestions.moved("file:///here", { line: 9, character: 0 });
  expect(asked[0]?.signal.aborted).toBe(true);
  await settled();
  expect(askedAgain).toBe(0);
});

test("one line is enough where one is wanted: the engine is stopped", async () => {
  const { shown } = suggest("x = |");
  await settled();
  asked[0]?.writes("1\ny");
  expect(await shown).toBe("1\n");
  expect(asked[0]?.signal.aborted).toBe(true);
});

test("after a suggestion is accepted, the next is asked for without waiting, and VS Code's question joins it", async () => {
  suggestions.ahead(cursorIn("x = 1|"), false);
  expect(asked).toHaveLength(1);
  const { shown } = suggest("x = 1|");
  asked[0]?.writes(" + y");
  asked[0]?.ends();
  expect(await shown).toBe(" + y");
  expect(asked).toHaveLength(1);
});

test("a failure shows nothing and is reported, and the next question is asked again", async () => {
  const { shown } = suggest("x = |");
  await settled();
  asked[0]?.fails(new Error("gone"));
  expect(await shown).toBeUndefined();
  expect(failures).toEqual([new Error("gone")]);
  expect(await answered("x = |", "1")).toBe("1");
});

test("where no request can be made, nothing is shown", async () => {
  canRun = false;
  const { shown } = suggest("x = |");
  await settled();
  expect(await shown).toBeUndefined();
});

test("a key ends the reading ahead, which is no failure", async () => {
  let signal: AbortSignal | undefined;
  const warming = suggestions.warm((_, given) => {
    signal = given;
    return new Promise((__, reject) => given.addEventListener("abort", () => reject(given.reason as Error)));
  });
  expect(suggestions.isBusy).toBe(true);
  suggestions.changed([typed("n", "x = |")]);
  await closed();
  await warming;
  expect(signal?.aborted).toBe(true);
  expect(failures).toEqual([]);
});

test.each(["1\n", "1 "])("after an answer was typed up to its blank end, the next is asked for", async (answer) => {
  expect(await answered("x = |", answer)).toBe(answer);
  suggestions.changed([typed("1", "x = |")]);
  const { shown } = suggest("x = 1|");
  await settled();
  expect(asked.map(({ cursor }) => cursor.prefix)).toEqual(["x = ", "x = 1"]);
  asked[1]?.writes(" + 2");
  asked[1]?.ends();
  expect(await shown).toBe(" + 2");
});

test("a request is aborted where VS Code is not to ask again, as while a chat runs", async () => {
  mayAskAgain = false;
  const { shown, cancel } = suggest("x = |");
  await vi.advanceTimersByTimeAsync(300);
  cancel();
  expect(await shown).toBeUndefined();
  expect(asked[0]?.signal.aborted).toBe(false);
  await settled();
  expect(asked[0]?.signal.aborted).toBe(true);
});

test("a server that always fails is asked at most eight times for one place, whatever VS Code does", async () => {
  const log = { warn: () => {} } as unknown as LogOutputChannel;
  const model = () => ({}) as InfillModel;
  const requester = new Requester(model, () => [], new MeasuredSpeed(), new LastRequest(), log, () => Date.now());
  let requests = 0;
  const explicitly = () => void suggestions.suggest(cursorIn("x = |"), { ...WISH, isExplicit: true }, new AbortController().signal);
  suggestions = new Suggestions(
    {
      run: () => (requester.waitMs() ? undefined : () => ((requests += 1), Promise.reject(new Error("down")))),
      failed: (error) => requester.failed(error),
      succeeded: () => requester.succeeded(),
      askAgain: () => (explicitly(), true),
      waitMs: () => requester.waitMs(),
      refine: ({ rest }) => rest,
      now: () => Date.now(),
    },
    new TypingPace(),
    new MeasuredSpeed(),
  );
  suggest("x = |");
  await vi.advanceTimersByTimeAsync(30 * 60_000);
  expect(requests).toBeGreaterThan(3);
  expect(requests).toBeLessThanOrEqual(8);
  expect(vi.getTimerCount()).toBe(0);
});
