/** Where several lines are wanted: `‸` is the cursor. */
import { expect, test } from "vitest";
import { wantsMultiline } from "../../src/completion/multiline";

function at(languageId: string, text: string): boolean {
  const [prefix = "", suffix = ""] = text.split("‸");
  return wantsMultiline({ prefix, suffix, languageId });
}

test.each([
  ["python", "def f(x):‸"],
  ["python", "def f(x):\n    ‸"],
  ["python", "def f(x):\n    ‸\n\ndef g(x):\n    pass"],
  ["python", "    async def f(self):‸\n"],
  ["python", "if x:‸"],
  ["python", "@cached\n‸"],
  ["python", "# sort the rows by date\n‸"],
  ["python", 'def f(x):\n    """‸'],
  ["typescript", "function f() {‸"],
  ["typescript", "function f() {‸}"],
  ["typescript", "items.map((x) => {‸});"],
  ["typescript", "items.map((x) =>‸"],
  ["typescript", "class A {\n  f() {\n    ‸\n  }\n}"],
  ["typescript", "/**‸\n */"],
  ["typescript", "/** The area. */\n‸"],
  ["go", "switch x {\n\tcase 1:‸"],
  ["rust", "match x {\n    Some(y) =>‸"],
  ["java", "@Override\n‸"],
  ["csharp", "[Test]\n‸"],
  ["cpp", "int f()\n{\n    ‸\n}"],
  ["ruby", "items.each do |x|‸"],
  ["lua", "if x then‸"],
  ["html", '<ul class="a">‸'],
  ["html", "<ul>‸</ul>"],
  ["yaml", "services:‸"],
  ["yaml", "run: |\n  ‸"],
  ["sql", "CREATE TABLE a (‸"],
  ["css", "a {\n  ‸\n}"],
  ["markdown", "```python‸"],
])("%s: %j wants several", (languageId, text) => {
  expect(at(languageId, text)).toBe(true);
});

test.each([
  ["python", "x = ‸"],
  ["python", "print(‸)"],
  ["python", "def f(‸):"],
  ["python", "d = {1:‸"],
  ["python", "x[1:‸"],
  ["python", "def f(x):‸  return 1"],
  ["python", "def f(x):\n    ‸\n    return 1"],
  ["python", "x = 1\n‸\ny = 2"],
  ["python", "# a heading\n\n‸"],
  ["python", "# why:‸"],
  ["typescript", "if (x) {‸ return; }"],
  ["typescript", "const { a, ‸ } = b;"],
  ["typescript", "x >= ‸"],
  ["typescript", "// a block {‸"],
  ["typescript", "const x = y ? 1 :‸"],
  ["go", 'fmt.Println("a", ‸)'],
  ["html", "<br>‸"],
  ["html", "<img src='a'>‸"],
  ["html", "<p>text‸</p>"],
  ["html", "</ul>‸"],
  ["markdown", "# Title\n‸"],
  ["markdown", "Text: ‸"],
  ["plaintext", "Dear {‸"],
  ["sql", "WHERE a = ‸"],
  ["json", '"a": ‸'],
])("%s: %j wants one", (languageId, text) => {
  expect(at(languageId, text)).toBe(false);
});

test("line ends of Windows change nothing", () => {
  expect(at("python", "def f(x):\r\n    ‸\r\n\r\ndef g(x):\r\n    pass")).toBe(true);
  expect(at("typescript", "f(() => {‸});\r\n")).toBe(true);
  expect(at("python", "x = ‸\r\ny = 2")).toBe(false);
});
