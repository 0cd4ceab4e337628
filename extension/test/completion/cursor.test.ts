/** The text around the cursor that is sent: cut on the far sides, steady from key to key. */
import { expect, test } from "vitest";
import { looksBinary, windowAt, type Lines } from "../../src/completion/cursor";
import { random } from "../support/random";

function lines(...texts: string[]): Lines & { read: number } {
  const document = {
    read: 0,
    lineCount: texts.length,
    lineAt: (line: number) => {
      document.read += 1;
      return { text: texts[line] ?? "" };
    },
  };
  return document;
}

/** With the flag, a whole pair is one character. */
const HALF_PAIR = /[\ud800-\udfff]/u;
const SIZE = { prefixChars: 4000, suffixChars: 500 };

test("a small file is sent whole, with LF between its lines", () => {
  const document = lines("a = 1", "b = 2", "c = 3");
  expect(windowAt(document, { line: 1, character: 4 }, SIZE)).toEqual({ prefix: "a = 1\nb = ", suffix: "2\nc = 3" });
});

test("the prefix begins at the same line while the person writes new lines", () => {
  const texts = Array.from({ length: 1000 }, (_, at) => `line number ${at} with some words in it`);
  const starts = Array.from({ length: 31 }, (_, at) => {
    const { prefix } = windowAt(lines(...texts), { line: 900 + at, character: 0 }, SIZE);
    expect(prefix.length).toBeLessThanOrEqual(SIZE.prefixChars);
    return prefix.slice(0, 20);
  });
  expect(new Set(starts).size).toBeLessThanOrEqual(2);
});

test("a file of one megabyte costs no more lines than a small one", () => {
  const document = lines(...Array.from({ length: 30_000 }, () => "forty characters of text in every line.."));
  windowAt(document, { line: 20_000, character: 10 }, SIZE);
  expect(document.read).toBeLessThan(300);
});

test("one long line is cut on both sides, and its start is steady too", () => {
  const document = lines("x".repeat(600_000) + "y".repeat(400_000));
  const at = (character: number) => windowAt(document, { line: 0, character }, SIZE);
  expect(at(600_000).prefix).toMatch(/^x+$/);
  expect(at(600_000).prefix.length).toBeGreaterThan(SIZE.prefixChars - 600);
  expect(at(600_000).suffix).toBe("y".repeat(SIZE.suffixChars));
  const lengths = [600_001, 600_002, 600_003].map((each) => at(each).prefix.length);
  expect(new Set(lengths.map((length, index) => length - index)).size).toBe(1);
});

test("no half of a surrogate pair is sent, wherever the cut goes", () => {
  const next = random(7);
  for (let round = 0; round < 300; round += 1) {
    const text = Array.from({ length: 40 }, () => (next() < 0.5 ? "\u{1f600}" : "a")).join("");
    const document = lines(...Array.from({ length: 90 }, () => text), text.repeat(20));
    const line = next() < 0.5 ? 90 : Math.floor(next() * 90);
    const characters = Array.from(document.lineAt(line).text);
    const character = characters.slice(0, Math.floor(next() * characters.length)).join("").length;
    const size = { prefixChars: 100 + Math.floor(next() * 600), suffixChars: 1 + Math.floor(next() * 99) };
    const { prefix, suffix } = windowAt(document, { line, character }, size);
    expect(prefix + suffix).not.toMatch(HALF_PAIR);
    expect(suffix.length).toBeLessThanOrEqual(size.suffixChars);
  }
});

test.each([
  ["a zero byte", "PK\0\0", true],
  ["control characters", "\x01\x02\x03\x04\x05\x06", true],
  ["code", "def f():\n\treturn '\x1b[0m'", false],
  ["another script", "текст עברית 文字", false],
])("%s: binary is %s", (_, prefix, binary) => {
  expect(looksBinary({ prefix, suffix: "" })).toBe(binary);
});
