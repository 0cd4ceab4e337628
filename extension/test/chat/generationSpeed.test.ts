/** The speed of an answer, from parts that arrive at given times. */
import { expect, test } from "vitest";
import { GenerationSpeed } from "../../src/chat/generationSpeed";

/** @param parts pairs of a time in milliseconds and the number of characters that arrive then */
function pace(...parts: [number, number][]): GenerationSpeed {
  const measured = new GenerationSpeed();
  for (const [atMs, chars] of parts) measured.add(chars, atMs);
  return measured;
}
const evenly = (count: number, apartMs: number, fromMs = 0) =>
  Array.from({ length: count }, (_, at): [number, number] => [fromMs + at * apartMs, 4]);

test("generation is measured without the wait before it", () => {
  expect(pace(...evenly(31, 10, 60_000)).tokensPerS(31)).toBeCloseTo(100);
});

test("what came with the first part is not counted", () => {
  expect(pace([1000, 900], [1200, 100]).tokensPerS(1000)).toBeCloseTo(500);
});

test.each([
  ["one piece", pace([1000, 5000])],
  ["parts that were sent together", pace(...evenly(500, 0.01, 1000))],
  ["a few reads of a proxy that buffers", pace([1000, 2000], [1007, 2000], [1015, 1000])],
  ["nothing", pace()],
  ["parts without a character", pace([0, 0], [500, 0])],
])("%s has no speed", (_, measured) => {
  expect(measured.tokensPerS(500)).toBeUndefined();
});

test("fewer than 20 tokens, or an unknown number, have no speed, even if the engine reports one", () => {
  const measured = pace(...evenly(30, 10));
  expect([measured.tokensPerS(19), measured.tokensPerS(undefined)]).toEqual([undefined, undefined]);
  measured.useEngineSpeed(40);
  expect([measured.tokensPerS(19), measured.tokensPerS(undefined)]).toEqual([undefined, undefined]);
  expect(measured.tokensPerS(20)).toBe(40);
});

test("the engine's own measurement is used, even for an answer in one piece", () => {
  const measured = pace([0, 500]);
  measured.useEngineSpeed(undefined);
  measured.useEngineSpeed(59.5);
  measured.useEngineSpeed(undefined);
  expect(measured.tokensPerS(100)).toBe(59.5);
});
