/** What a person sees of the edit that follows, and what Tab and Escape do with it. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Question } from "../../../src/completion/nextEdit/nextEditForm";
import type { Replacement } from "../../../src/completion/nextEdit/predict";
import { registerNextEdit } from "../../../src/completion/nextEdit/nextEditProvider";
import { activates, configurationChanges, context, Editor, EndOfLine, registered, Selection, window } from "../../support/fakeEditor";

vi.mock("vscode", () => import("../../support/fakeEditor"));

const TEXT = "def total(prices):\n    return sum(prices)\n\nprint(total([1]))\nprint(total([2]))";
let isOn: boolean;
let isOpen: boolean;
let mayOpen: () => Promise<boolean>;
/** What the model is asked, and what it proposes. */
let asked: { question: Question; signal: AbortSignal }[];
let modelProposes: () => Promise<Replacement[]>;
let nextEdits: { dispose: () => void };

beforeEach(() => {
  vi.useFakeTimers();
  isOn = true;
  isOpen = true;
  mayOpen = async () => isOpen;
  context.clear();
  window.activeTextEditor = undefined;
  asked = [];
  modelProposes = async () => [];
  const ask = (question: Question, signal: AbortSignal) => {
    asked.push({ question, signal });
    return modelProposes();
  };
  nextEdits = registerNextEdit({ isOn: () => isOn, isOpen: () => mayOpen(), ask });
});
afterEach(() => {
  nextEdits.dispose();
  vi.useRealTimers();
});

const pause = () => vi.advanceTimersByTimeAsync(500);
const tab = async () => registered.get("stoker.nextEdit.accept")?.();
const escape = async () => registered.get("stoker.nextEdit.dismiss")?.();
const nothing = { gone: [], come: [] };

/** An editor in which `total` was just renamed. */
async function renamed(...how: ConstructorParameters<typeof Editor> extends [string, ...infer Rest] ? Rest : never): Promise<Editor> {
  const text = how[0] === EndOfLine.CRLF ? TEXT.replaceAll("\n", "\r\n") : TEXT;
  const editor = new Editor(text, ...how);
  activates(editor);
  editor.type("total", "price_sum");
  await pause();
  return editor;
}

test("after a rename, the next use is struck out with the new name beside it", async () => {
  const editor = await renamed();
  expect(editor.seen).toEqual({ gone: ["total"], come: ["price_sum"] });
  expect(context.get("stoker.nextEditVisible")).toBe(true);
});

test("Tab makes it and the one after it, until there is none", async () => {
  const editor = await renamed();
  await tab();
  expect(editor.lines[3]).toBe("print(price_sum([1]))");
  expect(editor.seen).toEqual(nothing);
  expect(context.get("stoker.nextEditVisible")).toBe(false);
  await pause();
  await tab();
  expect(editor.lines[4]).toBe("print(price_sum([2]))");
  await pause();
  expect(editor.seen).toEqual(nothing);
});

test("out of sight, the cursor's line says so, and Tab goes there first", async () => {
  const editor = await renamed(EndOfLine.LF, [0, 1]);
  expect(editor.seen.come).toEqual(["price_sum", "Tab: next edit, line 4"]);
  await tab();
  expect(editor.selection.start.line).toBe(3);
  expect(editor.lines[3]).toBe("print(total([1]))");
  expect(editor.seen.come).toEqual(["price_sum"]);
  await tab();
  expect(editor.lines[3]).toBe("print(price_sum([1]))");
});

test("Escape drops it, and it does not come back", async () => {
  const editor = await renamed();
  await escape();
  expect(editor.seen).toEqual(nothing);
  expect(context.get("stoker.nextEditVisible")).toBe(false);
  editor.type("price_sum", "price_total");
  editor.type("price_total", "price_sum");
  await pause();
  expect(editor.seen.come).toEqual(["price_sum"]);
  await tab();
  expect(editor.lines.slice(3)).toEqual(["print(total([1]))", "print(price_sum([2]))"]);
});

test("it is gone with the next key, and when the person leaves the file", async () => {
  const editor = await renamed();
  editor.type("return", "yield ");
  expect(editor.seen).toEqual(nothing);
  const other = await renamed();
  activates(undefined);
  expect(other.seen).toEqual(nothing);
});

test("the file's line ends stay", async () => {
  const editor = await renamed(EndOfLine.CRLF);
  await tab();
  await pause();
  await tab();
  expect(editor.text).toBe(TEXT.replaceAll("total", "price_sum").replaceAll("\n", "\r\n"));
});

test("where it is off, or suggestions are, nothing is shown", async () => {
  isOpen = false;
  expect((await renamed()).seen).toEqual(nothing);
  [isOpen, isOn] = [true, false];
  expect((await renamed()).seen).toEqual(nothing);
});

test("switched on in an open file, it follows from there", async () => {
  isOn = false;
  const editor = new Editor(TEXT);
  activates(editor);
  isOn = true;
  configurationChanges();
  editor.type("total", "price_sum");
  await pause();
  expect(editor.seen.come).toEqual(["price_sum"]);
});

/** An edit that shows by itself nothing that follows. */
async function grown(): Promise<Editor> {
  const editor = new Editor(TEXT);
  activates(editor);
  editor.selection = new Selection(1, 0, 1, 0);
  editor.type("sum(prices)", "sum(prices) + tax");
  await pause();
  return editor;
}

test("the model is asked only where the edits themselves show nothing", async () => {
  await renamed();
  expect(asked).toEqual([]);
  await grown();
  expect(asked[0]?.question).toEqual({
    path: "src/file.py",
    lines: TEXT.replace("sum(prices)", "sum(prices) + tax").split("\n"),
    edits: [{ line: 1, before: ["    return sum(prices)"], after: ["    return sum(prices) + tax"] }],
    cursorLine: 1,
  });
});

test("what the model proposes is drawn, made with Tab, and gone for good with Escape", async () => {
  modelProposes = async () => [{ line: 3, endLine: 4, lines: ["print(total([1], tax))"] }];
  const editor = await grown();
  expect(editor.seen).toEqual({ gone: [], come: [", tax"] });
  await escape();
  editor.type("print(total([2]))", "print(total([3]))");
  await pause();
  expect(editor.seen).toEqual(nothing);
  modelProposes = async () => [{ line: 0, endLine: 1, lines: ["def total(prices):", "    tax = 0"] }];
  editor.type("[3]", "[4]");
  await pause();
  expect(editor.seen).toEqual({ gone: [], come: [" ⏎ tax = 0"] });
  await tab();
  expect(editor.lines.slice(0, 2)).toEqual(["def total(prices):", "    tax = 0"]);
});

test("with the next key the request is aborted, and an answer that comes yet is not shown", async () => {
  let answer: (found: Replacement[]) => void = () => undefined;
  modelProposes = () => new Promise((resolve) => (answer = resolve));
  const editor = await grown();
  expect(asked[0]?.signal.aborted).toBe(false);
  editor.type("tax", "taxes");
  expect(asked[0]?.signal.aborted).toBe(true);
  answer([{ line: 3, endLine: 4, lines: ["print(0)"] }]);
  await vi.advanceTimersByTimeAsync(0);
  expect(editor.seen).toEqual(nothing);
});

test.each<[string, () => void]>([
  ["another file is looked at", () => activates(new Editor("x"))],
  ["the setting is switched off", () => ((isOn = false), configurationChanges())],
])("nothing is shown or asked where %s before it is known whether the file is open to it", async (_, leave) => {
  let open: (isIt: boolean) => void = () => undefined;
  mayOpen = () => new Promise((resolve) => (open = resolve));
  const editor = await grown();
  leave();
  open(true);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toEqual([]);
  expect(editor.seen).toEqual(nothing);
});
