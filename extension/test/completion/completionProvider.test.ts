/** What VS Code is told when it asks for a suggestion. */
import { beforeEach, expect, test } from "vitest";
import * as vscode from "vscode";
import type { CompletionGate, Off } from "../../src/completion/completionGate";
import { CompletionProvider } from "../../src/completion/completionProvider";
import { CompletionSettings } from "../../src/completion/completionSettings";
import type { Cursor } from "../../src/completion/cursor";
import type { Spot, Suggestions, Wish } from "../../src/completion/suggestions";
import { cursorIn } from "../support/cursors";
import * as host from "../support/fakeVscode";

let wishes: (Wish & { cursor: Cursor })[];
let off: Off | undefined;
let open: Spot[];
let answer: string | undefined;
let settings: CompletionSettings;
let provider: CompletionProvider;

beforeEach(() => {
  host.openWindow();
  wishes = [];
  off = undefined;
  open = [];
  answer = "1 + 2";
  settings = new CompletionSettings();
  const suggest = async (cursor: Cursor, wish: Wish) => (wishes.push({ cursor, ...wish }), answer);
  const ahead = (cursor: Cursor, multiline: boolean) => wishes.push({ cursor, multiline, isExplicit: false });
  const unanswered = (spot: Spot) => open.push(spot);
  provider = new CompletionProvider({
    gate: { off: async () => off, isOpen: async () => !off } as unknown as CompletionGate,
    settings,
    suggestions: { suggest, ahead, unanswered } as unknown as Suggestions,
    window: () => ({ prefixChars: 4000, suffixChars: 1000 }),
  });
});

const { Automatic, Invoke } = host.InlineCompletionTriggerKind;
const cancelled = () => {
  const source = new host.CancellationTokenSource();
  source.cancel();
  return source.token as unknown as vscode.CancellationToken;
};
const token = () => new host.CancellationTokenSource().token as unknown as vscode.CancellationToken;

/** @param text with a bar where the cursor is */
function asks(text: string, context: object = {}, languageId = "python", until = token()) {
  const { line, character } = cursorIn(text);
  const document = host.fakeDocument("file:///a.py", text.replace("|", ""), languageId);
  return provider.provideInlineCompletionItems(
    document as unknown as vscode.TextDocument,
    new vscode.Position(line, character),
    { triggerKind: Automatic, selectedCompletionInfo: undefined, ...context } as vscode.InlineCompletionContext,
    until,
  );
}

test("a suggestion is inserted at the cursor, and its acceptance names where the cursor is then", async () => {
  const [item] = await asks("x = |\ny");
  expect(item?.insertText).toBe("1 + 2");
  expect(item?.range).toEqual(new vscode.Range(new vscode.Position(0, 4), new vscode.Position(0, 4)));
  expect(item?.command?.arguments).toEqual(["file:/a.py", 0, 9]);
});

test("of several lines, that is in the last one", async () => {
  answer = "1\n  + 2";
  const [item] = await asks("x = |");
  expect(item?.command?.arguments).toEqual(["file:/a.py", 1, 5]);
});

test("it continues the selected item of the list, and replaces what the item replaces", async () => {
  const range = new vscode.Range(new vscode.Position(0, 4), new vscode.Position(0, 6));
  const [item] = await asks("x = pr|)", { selectedCompletionInfo: { range, text: "print" } });
  expect(wishes[0]?.cursor).toMatchObject({ prefix: "x = print", suffix: ")", character: 9, isAhead: true });
  expect(item).toMatchObject({ insertText: "print1 + 2", range });
});

test.each([
  ["the document is excluded", "x = |", () => (off = "secret")],
  ["there is nothing to suggest", "x = |", () => (answer = undefined)],
])("nothing is shown where %s", async (_, text, arrange) => {
  arrange();
  expect(await asks(text)).toEqual([]);
});

test("a question that was taken back before it was read leaves its place, unless nothing is made there", async () => {
  expect(await asks("x = |", {}, "python", cancelled())).toEqual([]);
  expect(open).toEqual([{ uri: "file:/a.py", line: 0, character: 4 }]);
  off = "secret";
  expect(await asks("y = |", {}, "python", cancelled())).toEqual([]);
  expect(open).toHaveLength(1);
  expect(wishes).toEqual([]);
});

test("where there is no model, the place is kept, and nothing is sent", async () => {
  off = "noModel";
  expect(await asks("x = |")).toEqual([]);
  expect(open).toEqual([{ uri: "file:/a.py", line: 0, character: 4 }]);
  expect(wishes).toEqual([]);
});

test.each([
  ["a comment", "# the sum|"],
  ["a file that no one typed", "\0\0\0|"],
])("nothing is asked in %s, and no place is kept there to ask again", async (_, text) => {
  expect(await asks(text)).toEqual([]);
  expect(await asks(text, {}, "python", cancelled())).toEqual([]);
  off = "noModel";
  expect(await asks(text)).toEqual([]);
  expect(wishes).toEqual([]);
  expect(open).toEqual([]);
});

test("in a comment the person may ask, or allow it in the settings", async () => {
  expect(await asks("# the sum|", { triggerKind: Invoke })).toHaveLength(1);
  host.editorSettings.set("stoker.completion.inComments", { default: false, user: true });
  settings.reread();
  expect(await asks("# the sum|")).toHaveLength(1);
  expect(wishes.map(({ isExplicit }) => isExplicit)).toEqual([true, false]);
});

test("several lines are wanted where a block begins, unless the settings say no", async () => {
  await asks("def f():\n    |");
  await asks("x = |");
  host.editorSettings.set("stoker.completion.multiline", { default: true, user: false });
  settings.reread();
  await asks("def f():\n    |");
  expect(wishes.map(({ multiline }) => multiline)).toEqual([true, false, false]);
});

test("after acceptance the next is asked for, but not in an excluded document", async () => {
  const document = host.fakeDocument("file:///a.py", "x = 1 + 2") as unknown as vscode.TextDocument;
  await provider.accepted(document, new vscode.Position(0, 9));
  expect(wishes.map(({ cursor }) => cursor.prefix)).toEqual(["x = 1 + 2"]);
  off = "secret";
  await provider.accepted(document, new vscode.Position(0, 9));
  expect(wishes).toHaveLength(1);
});
