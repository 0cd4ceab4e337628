/** Where one line is wanted: the lines after it that the file has in the same order. */
import { describe, expect, test } from "vitest";
import { isEnough } from "../../src/completion/enough";
import { postProcess } from "../../src/completion/postProcess";
import { cursorIn } from "../support/cursors";

const TEST = ["it(1, () => {", "  const a = make();", "", "  expect(a).toBe(1);", "});"];
const AT = `${TEST.join("\n")}\nit(2, () => {\n  const a|\nlast();`;
const place = (text: string, finished = true) => {
  const { prefix, suffix } = cursorIn(text);
  return { prefix, suffix, languageId: "typescript", multiline: false, repeats: true, finished, tabSize: 2 };
};

describe("what is shown", () => {
  const FIRST = " = make();";
  test.each<[string, string, string, string, boolean]>([
    ["goes on as the lines above did", AT, `${FIRST}\n\n  expect(a).toBe(1);\n});\n`, `${FIRST}\n\n  expect(a).toBe(1);\n});`, true],
    ["ends where they went on otherwise", AT, `${FIRST}\n  expect(a).toBe(1);\n  more();\n});`, `${FIRST}\n  expect(a).toBe(1);`, true],
    ["is one line where the next stands elsewhere, but not after it", AT, `${FIRST}\n});\n`, FIRST, true],
    ["is one line where that is new", AT, " = other();\n  expect(a).toBe(1);\n", " = other();", true],
    ["has no half line where tokens ran out", AT, `${FIRST}\n\n  expect(a).toBe(1);\n}`, `${FIRST}\n\n  expect(a).toBe(1);`, false],
    ["is one line where text follows the cursor", AT.replace("|", "|;"), `${FIRST}\n  expect(a).toBe(1);`, " = make()", true],
  ])("%s", (_, text, raw, shown, finished) => {
    expect(postProcess(raw, place(text, finished))).toBe(shown);
  });

  test("is one line where the person wants no more", () => {
    expect(postProcess(`${FIRST}\n\n  expect(a).toBe(1);`, { ...place(AT), repeats: false })).toBe(FIRST);
  });

  test("has the file's own line ends", () => {
    expect(postProcess(" = make();\n  expect(a).toBe(1);", place(AT.replaceAll("\n", "\r\n")))).toBe(" = make();\r\n  expect(a).toBe(1);");
  });
});

test.each<[string, string, boolean]>([
  ["within the line", " = ma", false],
  ["at its end, as the file goes on there", " = make();\n", false],
  ["a line that may become the known one", " = make();\n\n  exp", false],
  ["a line that can't", " = make();\n  q", true],
  ["a line that is new", " = other();\n", true],
  ["past the known lines", " = make();\n  expect(a).toBe(1);\n});\nq", true],
])("the answer is read on %s", (_, written, enough) => {
  expect(isEnough(written, cursorIn(AT), false)).toBe(enough);
});
