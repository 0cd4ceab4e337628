/** Where the edit that follows is, and what it is. */
import { expect, test } from "vitest";
import { predict } from "../../../src/completion/nextEdit/predict";
import { linesOf, RecentEdits } from "../../../src/completion/nextEdit/recentEdits";

/** The text, its edits made in order, and what is then proposed: "line number: new line". A line of an
 * edit is named by its number from 1. */
function after(text: string, edits: readonly (readonly [line: number, now: string])[], languageId = "python"): string[] {
  const lines = linesOf(text);
  const recent = new RecentEdits(text);
  for (const [number, now] of edits) {
    lines[number - 1] = now;
    recent.change({ startLine: number - 1, endLine: number - 1, text: now });
  }
  const proposals = predict({ languageId, lines, edits: recent.edits(lines) });
  return proposals.map(({ line, lines: proposed }) => `${line + 1}: ${proposed.join("\n").trim()}`);
}

const TOTAL = `def total(prices):
    return sum(prices)

def report(prices):
    print(total(prices))
    # the total is there
    return total(prices)`;

test("a function that has a new name is called by it, in code and not in prose", () => {
  expect(after(TOTAL, [[1, "def price_sum(prices):"]])).toEqual(["5: print(price_sum(prices))", "7: return price_sum(prices)"]);
});

test("what stands below the edit comes first", () => {
  const text = "x = compute(1)\n\ndef compute(n):\n    return n\n\ny = compute(2)";
  expect(after(text, [[3, "def work(n):"]])).toEqual(["6: y = work(2)", "1: x = work(1)"]);
});

test("a parameter's new name is used in its function only", () => {
  expect(after(TOTAL, [[1, "def total(values):"]])).toEqual(["2: return sum(values)"]);
});

test("a name that is given elsewhere too is no rename", () => {
  const text = "def run(x):\n    pass\n\nclass A:\n    def run(self):\n        pass\n\nrun(1)";
  expect(after(text, [[1, "def start(x):"]])).toEqual([]);
});

test("a name that the file had already is no rename, but the use of another thing", () => {
  const text = "def one():\n    pass\n\ndef two():\n    pass\n\nx = one()\ny = one()";
  expect(after(text, [[7, "x = two()"]])).toEqual([]);
});

test("an attribute's new name is used behind dots, not for a parameter of another function", () => {
  const text = "class A:\n    def __init__(self, size):\n        self.size = size\n\n    def area(self):\n        return f(size=self.size)";
  expect(after(text, [[3, "        self.length = size"]])).toEqual(["6: return f(size=self.length)"]);
});

test("what was done twice is proposed a third time, where a name alone would not be", () => {
  const text = ["a", "b", "c", "d"].map((name) => `${name} = load(path, mode)\n\n${name}.run()`).join("\n");
  const now = (name: string) => `${name} = load(path, True, mode)`;
  expect(after(text, [[1, now("a")]])).toEqual([]);
  expect(after(text, [[1, now("a")], [4, now("b")], [7, now("c")]])).toEqual(["10: d = load(path, True, mode)"]);
});

test("a line with the same neighbours is changed as its like was", () => {
  const text = "try:\n    run()\nexcept IOError as problem:\n    log()\n\ntry:\n    run()\nexcept IOError as problem:\n    log()";
  expect(after(text, [[3, "except OSError as problem:"]])).toEqual(["8: except OSError as problem:"]);
});

test("a part is replaced with whole brackets and quotes, or not at all", () => {
  const text = ["a", "b", "c", "d"].map((name) => `    def ${name}(self, app: "Flask") -> str:\n        return app.x`).join("\n");
  const now = (name: string) => `    def ${name}(self, app: Flask) -> str:`;
  expect(after(text, [[1, now("a")], [3, now("b")], [5, now("c")]])).toEqual(["7: def d(self, app: Flask) -> str:"]);
});

test("a word within another is not the word", () => {
  const text = "def grab(x):\n    return x\n\ny = grab(1)\nz = regrab(2)\nw = grab_all(3)";
  expect(after(text, [[1, "def fetch(x):"]])).toEqual(["4: y = fetch(1)"]);
});

test("an edit in prose, or of a word of the language, proposes nothing", () => {
  expect(after("# the size\n# the size\n# the size\nsize = 1", [[1, "# the length"], [2, "# the length"]])).toEqual([]);
  expect(after("return x\nif y:\n    return z", [[1, "yield x"]])).toEqual([]);
});

test("nothing follows an edit that brings something new, or none", () => {
  expect(after("a = 1\nb = 2", [[1, "a = compute(b)"]])).toEqual([]);
  expect(after("a = 1\nb = 2", [])).toEqual([]);
});

test("TypeScript: a type's new name is used everywhere", () => {
  const text = "interface Order {\n  id: string;\n}\n\nfunction load(): Order {\n  return {} as Order;\n}";
  expect(after(text, [[1, "interface Purchase {"]], "typescript")).toEqual([
    "5: function load(): Purchase {",
    "6: return {} as Purchase;",
  ]);
});

test("Go: a function's new name is called", () => {
  const text = "func Add(a, b int) int {\n\treturn a + b\n}\n\nfunc main() {\n\tfmt.Println(Add(1, 2))\n}";
  expect(after(text, [[1, "func Sum(a, b int) int {"]], "go")).toEqual(["6: fmt.Println(Sum(1, 2))"]);
});
