/** While a person types, prompts begin alike, and what was typed stands at their end. */
import { expect, test } from "vitest";
import { Anchor } from "../../src/completion/anchor";
import { cursorIn } from "../support/cursors";

const NO_FILES: never[] = [];

test("what is typed is put behind a prompt that stays as it was", () => {
  const anchor = new Anchor();
  expect(anchor.at(cursorIn("x = |\ny"), NO_FILES)).toEqual({ prompt: "x = ", suffix: "\ny" });
  expect(anchor.at(cursorIn("x = foo.|\ny"), NO_FILES)).toEqual({ prompt: "x = ", suffix: "\ny", input_middle: "foo." });
  expect(anchor.at(cursorIn("x = foo.z\nz(|\ny"), NO_FILES)).toMatchObject({ prompt: "x = ", input_middle: "foo.z\nz(" });
});

test("a bracket that the editor closes by itself changes nothing after the cursor", () => {
  const anchor = new Anchor();
  anchor.at(cursorIn("x = |\ny"), NO_FILES);
  expect(anchor.at(cursorIn("x = f(a,|)\ny"), NO_FILES)).toEqual({ prompt: "x = ", suffix: "\ny", input_middle: "f(a," });
});

test.each([
  ["a cursor before it", "x |= 1\ny"],
  ["another text before it", "xx = |\ny"],
  ["another text after it", "x = |\nyy"],
  ["too much typed", `x = ${"1,+,".repeat(301)}|\ny`],
  ["half a word", "x = fo|\ny"],
  ["a space, which belongs to the next word", "x = foo |\ny"],
  ["an operator that may go on", "x = a :|\ny"],
])("%s is anchored anew", (_, text) => {
  const anchor = new Anchor();
  anchor.at(cursorIn("x = |\ny"), NO_FILES);
  expect(anchor.at(cursorIn(text), NO_FILES)).not.toHaveProperty("input_middle");
});

test("other files are read anew, and so is the rest", () => {
  const anchor = new Anchor();
  anchor.at(cursorIn("x = |"), NO_FILES);
  const files = [{ filename: "a.py", text: "a = 1" }];
  expect(anchor.at(cursorIn("x = fo|"), files)).toEqual({ prompt: "x = fo", suffix: "" });
});

test("what was renewed is begun from, though little was typed since", () => {
  const anchor = new Anchor();
  anchor.at(cursorIn("x = |"), NO_FILES);
  anchor.renew(cursorIn("x = fo|"), NO_FILES);
  expect(anchor.at(cursorIn("x = foo(|"), NO_FILES)).toEqual({ prompt: "x = fo", suffix: "", input_middle: "o(" });
});

test.each([
  ["a few words", "x = foo + bar|", true],
  ["a paragraph", `x = ${"1 + ".repeat(101)}|`, false],
  ["nothing, elsewhere", "|x = ", false],
])("after %s typed, the anchor is near or not", (_, text, near) => {
  const anchor = new Anchor();
  anchor.at(cursorIn("x = |"), NO_FILES);
  expect(anchor.isNear(cursorIn(text), NO_FILES)).toBe(near);
});

test("an item of the list of suggestions is no place to start from", () => {
  const anchor = new Anchor();
  anchor.at({ ...cursorIn("x = |"), isAhead: true }, NO_FILES);
  expect(anchor.at(cursorIn("x = fo|"), NO_FILES)).toEqual({ prompt: "x = fo", suffix: "" });
});
