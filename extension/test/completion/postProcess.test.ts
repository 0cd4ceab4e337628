/** What is shown of what a model wrote: the golden cases, and what holds for any text at all. */
import { expect, test } from "vitest";
import { wantsMultiline } from "../../src/completion/multiline";
import { postProcess } from "../../src/completion/postProcess";
import { goldenCases } from "../support/goldenCases";
import { random } from "../support/random";

const cases = goldenCases("test/completion/golden");

test.each(cases)("$languageId: $title", ({ prefix, suffix, languageId, raw, finished, shown }) => {
  const multiline = wantsMultiline({ prefix, suffix, languageId });
  expect(postProcess(raw, { prefix, suffix, languageId, multiline, finished, tabSize: 4 })).toBe(shown);
});

test("every language with a syntax of its own has golden cases", () => {
  const languages = "python typescript go rust java cpp html yaml markdown sql ruby shellscript css json".split(" ");
  expect([...new Set(cases.map((each) => each.languageId))].sort()).toEqual(languages.sort());
});

/** Text of pieces that meet in real files, and of some that should not. */
function anyText(next: () => number): string {
  const pieces = ["\n", "\r\n", "\t", "  ", "{", "}", "(", ")", "'", '"', "`", "x", "return ", "//", "/*", "*/", "#"];
  pieces.push("😀", "\uD83D", "\uDE00", "<|fim_suffix|>", "שלום", ":", "=>", "</div>", "<div>", "def f():", "\uFFFD");
  return Array.from({ length: Math.floor(next() * 24) }, () => pieces[Math.floor(next() * pieces.length)]).join("");
}

test("whatever the texts are, what is shown is whole, adds something and keeps the file's line ends", () => {
  const next = random(19);
  let shownTimes = 0;
  for (let round = 0; round < 4000; round += 1) {
    const languageId = ["python", "typescript", "html", "rust", "unknown"][round % 5] ?? "";
    const place = { prefix: anyText(next), suffix: anyText(next), languageId, tabSize: 4 };
    const [multiline, finished] = [next() < 0.5, next() < 0.5];
    const shown = postProcess(anyText(next), { ...place, multiline, finished });
    if (shown === undefined) continue;
    shownTimes += 1;
    expect(shown.trim()).not.toBe("");
    expect(shown).not.toMatch(/[\uD800-\uDBFF]$|^[\uDC00-\uDFFF]/);
    expect(shown).not.toContain("<|");
    if (!multiline) expect(shown).not.toContain("\n");
    const crlf = (place.prefix + "\0" + place.suffix).includes("\r\n");
    expect(shown).not.toMatch(crlf ? /(^|[^\r])\n/ : /\r/);
  }
  expect(shownTimes).toBeGreaterThan(400);
});

test("what was shown once is shown again unchanged", () => {
  for (const { prefix, suffix, languageId, shown, title } of cases) {
    if (shown === undefined) continue;
    const multiline = wantsMultiline({ prefix, suffix, languageId });
    const again = postProcess(shown, { prefix, suffix, languageId, multiline, finished: true, tabSize: 4 });
    expect(again, `${languageId}: ${title}`).toBe(shown);
  }
});
