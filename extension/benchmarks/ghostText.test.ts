/** What ghost text's own work costs at a key, printed and never judged: `npm run benchmark`.
 *
 * Goals: `wantsMultiline`, `pick` and `postProcess` together under 1 ms in a file of 1 MB; the memory of
 * a full ring under 10 MB, whatever the size of the files that its chunks come from.
 */
import { expect, test } from "vitest";
import { ContextRing } from "../src/completion/contextRing";
import { wantsMultiline } from "../src/completion/multiline";
import { postProcess } from "../src/completion/postProcess";
import { inComment } from "../src/completion/syntax";
import { random } from "../test/support/random";

const ROUNDS = 2000;
const WORDS = "load save user order price total index cache token model parse write open close list item".split(" ");

/** Functions as files have them, of names that files share. */
function sourceText(chars: number, next: () => number): string {
  const word = () => WORDS[Math.floor(next() * WORDS.length)] ?? "";
  const parts: string[] = [];
  for (let length = 0; length < chars; ) {
    const name = `${word()}_${word()}${Math.floor(next() * 300)}`;
    const body = `    ${word()} = self.${word()}["${word()}"]  # ${word()}\n    return ${word()}_${word()}(${word()})\n`;
    parts.push(`def ${name}(self, ${word()}):\n${body}\n\n`);
    length += parts.at(-1)?.length ?? 0;
  }
  return parts.join("");
}

function quantiles(timesMs: number[]): string {
  const sorted = timesMs.sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? NaN).toFixed(3);
  return `median ${at(0.5)} ms, P99 ${at(0.99)} ms of ${sorted.length}`;
}

test("a key in a file of 1 MB", () => {
  const next = random(7);
  const ring = new ContextRing();
  for (let file = 0; file < 400; file += 1) {
    const text = sourceText(6000, next);
    ring.note({ uri: `file:///p/${file}.py`, languageId: "python", text, kind: "edited", line: 30 });
  }
  const text = sourceText(1_000_000, next);
  const raw = `${sourceText(600, next)}${" ".repeat(4)}return 1`;
  const took = { inComment: [], multiline: [], pick: [], "pick, next key": [], postProcess: [], all: [] } as Record<string, number[]>;
  const timed = (name: string, work: () => void) => {
    const startedAt = performance.now();
    work();
    took[name]?.push(performance.now() - startedAt);
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    const at = Math.floor(next() * text.length);
    const [prefix, suffix] = [text.slice(Math.max(0, at - 24_000), at), text.slice(at, at + 8_000)];
    const cursor = { prefix, suffix, languageId: "python" };
    timed("all", () => {
      timed("inComment", () => inComment(prefix, "python"));
      timed("multiline", () => wantsMultiline(cursor));
      timed("pick", () => ring.pick({ ...cursor, uri: "file:///p/now.py", maxChars: 12_000 }));
      timed("pick, next key", () => ring.pick({ ...cursor, prefix: `${prefix}x`, uri: "file:///p/now.py", maxChars: 12_000 }));
      timed("postProcess", () => postProcess(raw, { ...cursor, multiline: true, finished: false, tabSize: 4 }));
    });
  }
  expect(took["all"]).toHaveLength(ROUNDS);
  console.log(`a ring of ${(ring.bytes / 1e6).toFixed(2)} MB, a window of 32,000 characters`);
  // For the docs: `... | python ../benchmarks/last_runs.py --table ghost_text`.
  console.log("| at a new line of a file of 1 MB, ring full | measured |\n| --- | --- |");
  for (const [name, times] of Object.entries(took)) console.log(`| ${name} | ${quantiles(times)} |`);
});

test("the memory of a ring filled from files of 1 MB, and a note from one", async () => {
  const next = random(8);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const ring = new ContextRing();
  const tookMs: number[] = [];
  for (let file = 0; file < 150; file += 1) {
    const text = sourceText(1_000_000, next);
    const startedAt = performance.now();
    ring.note({ uri: `file:///p/${file}.py`, languageId: "python", text, kind: "edited", line: 20_000 });
    tookMs.push(performance.now() - startedAt);
  }
  await new Promise((resolve) => setTimeout(resolve, 50)); // the last file's text goes out of scope
  globalThis.gc?.();
  const heapMb = (process.memoryUsage().heapUsed - before) / 1e6;
  expect(ring.bytes).toBeGreaterThan(0);
  const collected = globalThis.gc ? "" : " (not collected: run node with --expose-gc)";
  console.log(`| memory of a full ring | ${(ring.bytes / 1e6).toFixed(2)} MB by its count, heap ${heapMb.toFixed(1)} MB${collected} |`);
  console.log(`| note of a file of 1 MB at line 20,000 | ${quantiles(tookMs)} |`);
});
