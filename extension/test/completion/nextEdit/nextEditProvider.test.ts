/** What a person sees of the edit that follows, and what Tab and Escape do with it. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { registerNextEdit } from "../../../src/completion/nextEdit/nextEditProvider";
import { activates, configurationChanges, context, Editor, EndOfLine, registered, window } from "../../support/fakeEditor";

vi.mock("vscode", () => import("../../support/fakeEditor"));

const TEXT = "def total(prices):\n    return sum(prices)\n\nprint(total([1]))\nprint(total([2]))";
let isOn: boolean;
let isOpen: boolean;
let nextEdits: { dispose: () => void };

beforeEach(() => {
  vi.useFakeTimers();
  isOn = true;
  isOpen = true;
  context.clear();
  window.activeTextEditor = undefined;
  nextEdits = registerNextEdit({ isOn: () => isOn, isOpen: async () => isOpen });
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
