/** What was typed between two places of the cursor, from the text alone. */
import { expect, test } from "vitest";
import { cursorIn } from "../support/cursors";
import { typedSince } from "../../src/completion/typedSince";

test.each([
  ["nothing", "x = |", "x = |", ""],
  ["some keys", "x = |\ny", "x = foo|\ny", "foo"],
  ["a new line with its indent", "if x:|", "if x:\n    a|", "\n    a"],
  ["two new lines", "a|", "a\n\nb|", "\n\nb"],
  ["a bracket that the editor closes", "f|\n", "f(|)\n", "("],
  ["a block that the editor closes", "if (x) |\ny", "if (x) {\n  |\n}\ny", "{\n  "],
  ["keys in an empty file", "|", "im|", "im"],
])("%s", (_, before, now, typed) => {
  expect(typedSince(cursorIn(before), cursorIn(now))).toBe(typed);
});

test.each([
  ["the cursor went back", "x = foo|", "x = |foo"],
  ["a key was deleted", "x = foo|", "x = fo|"],
  ["the text above is another", "x = 1\n|", "x = 2\n|"],
  ["the text behind is another", "x = |1", "x = |2"],
  ["there is text behind now", "x = |", "x = |y"],
  ["another line above", "x\n|", "y\n|"],
])("not where %s", (_, before, now) => {
  expect(typedSince(cursorIn(before), cursorIn(now))).toBeUndefined();
});

test("not in another document", () => {
  const cursor = cursorIn("x = |");
  expect(typedSince(cursor, { ...cursor, uri: "file:///other" })).toBeUndefined();
});

test("a window that begins elsewhere now is the same text", () => {
  const before = cursorIn(`${"line\n".repeat(400)}x = |`);
  const now = { ...cursorIn(`${"line\n".repeat(400)}x = fo|`) };
  expect(typedSince(before, { ...now, prefix: now.prefix.slice(-1500) })).toBe("fo");
});
