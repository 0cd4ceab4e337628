/** What of a line is struck out, and what comes in its place. */
import { expect, test } from "vitest";
import { smallDiff } from "../../../src/completion/nextEdit/smallDiff";
import { random } from "../../support/random";

test.each([
  ["x = total(1)", "x = price_sum(1)", "total", "price_sum"],
  ["x = total(1)", "x = totals(1)", "total", "totals"],
  ["f(a, b)", "f(a, c, b)", "", "c, "],
  ["f(a)", "f(a, b)", "", ", b"],
  ["f(a, b)", "f(a)", ", b", ""],
  ["same", "same", "", ""],
])("%j to %j", (old, now, gone, come) => {
  const { start, end, text } = smallDiff(old, now);
  expect([old.slice(start, end), text]).toEqual([gone, come]);
});

test("the old line with the piece replaced is always the new line", () => {
  const next = random(5);
  const line = () => Array.from({ length: Math.floor(next() * 8) }, () => "ab(_ "[Math.floor(next() * 5)]).join("");
  for (let round = 0; round < 2000; round += 1) {
    const [old, now] = [line(), line()];
    const { start, end, text } = smallDiff(old, now);
    expect(old.slice(0, start) + text + old.slice(end)).toBe(now);
  }
});
