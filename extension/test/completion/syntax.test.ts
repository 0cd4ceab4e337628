/** Whether the cursor stands in a comment or a string. */
import { expect, test } from "vitest";
import { inComment, inString } from "../../src/completion/syntax";

test.each([
  ["python", "x = 1  # so"],
  ["python", "def f():\n    # the"],
  ["typescript", "// the "],
  ["typescript", "/* a\n * b"],
  ["typescript", "x = 1; /** doc"],
  ["typescript", "const s = 'it'; // it's"],
  ["go", "x := `raw // text` // so"],
  ["rust", "fn f<'a>(x: &'a str) {} // a"],
  ["rust", "let c = '\"'; // a"],
  ["html", "<p>\n<!-- a"],
  ["css", "a { /* b"],
  ["sql", "SELECT 1 -- one"],
  ["lua", "--[[ a\nb"],
  ["shellscript", "echo a # b"],
  ["yaml", "a: b # c"],
  ["markdown", "<!-- todo"],
])("%s: after %j comes a comment", (languageId, prefix) => {
  expect(inComment(prefix, languageId)).toBe(true);
  expect(inString(prefix, languageId)).toBe(false);
});

test.each([
  ["python", "# so\n"],
  ["python", "x = '# no"],
  ["python", '"""# no'],
  ["typescript", "// a\n"],
  ["typescript", "/* a */ b"],
  ["typescript", "url = 'http://"],
  ["typescript", "`// no\n"],
  ["rust", "let c = '/'; "],
  ["shellscript", "echo $#"],
  ["shellscript", "echo ${a#b"],
  ["css", "// no"],
  ["json", "// no"],
  ["plaintext", "# no // no"],
  ["unknown", "# no // no"],
])("%s: after %j comes no comment", (languageId, prefix) => {
  expect(inComment(prefix, languageId)).toBe(false);
});

test.each([
  ["python", "x = 'a"],
  ["python", "x = 'a\\'"],
  ["python", "x = '''a'\n"],
  ["typescript", "`a\n"],
  ["rust", 'let s = "a\n'],
])("%s: after %j a string goes on", (languageId, prefix) => {
  expect(inString(prefix, languageId)).toBe(true);
});

test.each([
  ["python", "x = 'a'"],
  ["python", "x = 'a\n"],
  ["python", "x = 'a\\\\'"],
  ["rust", "impl<'a> A<'a> { "],
])("%s: after %j none does", (languageId, prefix) => {
  expect(inString(prefix, languageId)).toBe(false);
});

test("a comment far longer than what is scanned is still one", () => {
  expect(inComment(`/*\n${" * text\n".repeat(5000)} * `, "java")).toBe(true);
  expect(inComment(`/*\n${" * text\n".repeat(5000)} */\nint x = `, "java")).toBe(false);
});
