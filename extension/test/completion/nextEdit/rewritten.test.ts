/** What is proposed of the lines that a next-edit model writes again. */
import { expect, test } from "vitest";
import { rewritten } from "../../../src/completion/nextEdit/rewritten";
import { random } from "../../support/random";

const CURRENT = ["def f(a, b):", "    x = a", "    y = g(a)", "", "def h():", "    f(1)", "    f(2)"];
const asked = (original = CURRENT) => ({ prompt: "", stop: [], line: 100, current: CURRENT, original });
const changes = (answer: string[], cursorLine = 100, original = CURRENT) =>
  rewritten(asked(original), `${answer.join("\n")}\n`, cursorLine);

test("the same lines are no proposal", () => {
  expect(changes(CURRENT)).toEqual([]);
});

test("each place that changes is one: the nearest below the cursor first, then what stands above", () => {
  const answer = CURRENT.with(1, "    x = a + b").with(5, "    f(1, 0)").with(6, "    f(2, 0)");
  expect(changes(answer, 102)).toEqual([
    { line: 105, endLine: 107, lines: ["    f(1, 0)", "    f(2, 0)"] },
    { line: 101, endLine: 102, lines: ["    x = a + b"] },
  ]);
});

test("lines that are added come with the line above, or below at the beginning; lines may go", () => {
  expect(changes(CURRENT.toSpliced(2, 0, "    z = b"))).toEqual([{ line: 101, endLine: 102, lines: ["    x = a", "    z = b"] }]);
  expect(changes(["import g", ...CURRENT], 103)).toEqual([{ line: 100, endLine: 101, lines: ["import g", "def f(a, b):"] }]);
  expect(changes(CURRENT.toSpliced(2, 1))).toEqual([{ line: 102, endLine: 103, lines: [] }]);
});

test("blank lines at the end of what was sent stay, whether the answer has them or not", () => {
  const sent = { ...asked(), current: ["f(1)", "g(1)", "", ""] };
  for (const answer of ["f(1)\ng(2)", "f(1)\ng(2)\n\n\n"]) {
    expect(rewritten(sent, answer, 100)).toEqual([{ line: 101, endLine: 102, lines: ["g(2)"] }]);
  }
});

test.each<[string, string[], number]>([
  ["the cursor's own line", CURRENT.with(1, "    x = b"), 101],
  ["white space", CURRENT.with(1, "  x  =  a").toSpliced(4, 0, ""), 106],
  ["more than can be read", [...CURRENT, ...Array.from({ length: 12 }, (_, at) => `    k(${at})`)], 100],
])("not shown: %s", (_, answer, cursorLine) => {
  expect(changes(answer, cursorLine)).toEqual([]);
});

test("an answer that takes the last edit back is none", () => {
  const original = CURRENT.with(2, "    y = g()");
  expect(changes(original, 100, original)).toEqual([]);
});

test("made from the last to the first, the proposals are the answer: 500 random rewrites", () => {
  const next = random(7);
  for (let round = 0; round < 500; round += 1) {
    const lines = Array.from({ length: 1 + Math.floor(next() * 12) }, () => `l${Math.floor(next() * 6)}`);
    const answer = lines.flatMap((line) => (next() < 0.2 ? [] : next() < 0.2 ? [line, `n${Math.floor(next() * 4)}`] : [line]));
    if (!answer.length) continue;
    const found = rewritten({ prompt: "", stop: [], line: 0, current: lines, original: ["other"] }, answer.join("\n"), 99);
    const made = found.toSorted((a, b) => b.line - a.line).reduce((text, each) => text.toSpliced(each.line, each.endLine - each.line, ...each.lines), lines);
    expect(made).toEqual(answer);
  }
});
