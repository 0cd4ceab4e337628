/** What a next-edit model's answer changes, as proposals. Pure. */

import type { Asked } from "./nextEditForm";
import { nearestFirst, type Replacement } from "./predict";

/** A larger change can't be read beside the code. */
const MOST_LINES = 8;

/** The small changes between the lines that were sent and those in the answer: the nearest first. Not on
 * the cursor's own line, where completions are shown, and none where the answer takes the last edit back. */
export function rewritten(asked: Asked, answer: string, cursorLine: number): Replacement[] {
  const text = withoutBlankEnd(answer.replace(/\r/g, ""));
  if (text === withoutBlankEnd(asked.original.join("\n"))) return [];
  // The model may leave out blank lines at the end: they were not meant to go.
  const current = asked.current.join("\n");
  const now = (text + current.slice(withoutBlankEnd(current).length)).split("\n");
  const changes = changesBetween(asked.current, now)
    .map((change) => anchored(change, asked))
    .filter(({ line, endLine }) => cursorLine < line || endLine <= cursorLine)
    .filter((change) => isSmall(change) && !isBlank(change, asked));
  return nearestFirst(changes, cursorLine);
}

function withoutBlankEnd(text: string): string {
  return text.replace(/\n+$/, "");
}

function isSmall({ line, endLine, lines }: Replacement): boolean {
  return endLine > line && endLine - line <= MOST_LINES && lines.length <= MOST_LINES;
}

/** Whether nothing but white space changes. */
function isBlank({ line, endLine, lines }: Replacement, asked: Asked): boolean {
  const old = asked.current.slice(line - asked.line, endLine - asked.line);
  return old.join("").replace(/\s/g, "") === lines.join("").replace(/\s/g, "");
}

/** In the file, and with the line above where lines are only added: what is drawn needs a place. */
function anchored({ line, endLine, lines }: Replacement, { line: first, current }: Asked): Replacement {
  if (endLine > line) return { line: first + line, endLine: first + endLine, lines };
  const above = current[line - 1];
  if (above !== undefined) return { line: first + line - 1, endLine: first + line, lines: [above, ...lines] };
  const below = current[line];
  return { line: first, endLine: first + current.slice(0, 1).length, lines: below === undefined ? lines : [...lines, below] };
}

/** The places where two lists of lines differ, by their longest common subsequence. */
function changesBetween(old: readonly string[], now: readonly string[]): Replacement[] {
  const common = commonFrom(old, now);
  const found: { line: number; endLine: number; lines: string[] }[] = [];
  let [at, to] = [0, 0];
  while (at < old.length || to < now.length) {
    if (at < old.length && to < now.length && old[at] === now[to]) {
      [at, to] = [at + 1, to + 1];
      continue;
    }
    let last = found.at(-1);
    if (last?.endLine !== at || !last) found.push((last = { line: at, endLine: at, lines: [] }));
    const isGone = to === now.length || (at < old.length && (common[at + 1]?.[to] ?? 0) >= (common[at]?.[to + 1] ?? 0));
    if (isGone) last.endLine = at += 1;
    else last.lines.push(now[to++] ?? "");
  }
  return found;
}

/** How many lines the rests of both lists have in common, from each pair of places. */
function commonFrom(old: readonly string[], now: readonly string[]): number[][] {
  const table = Array.from({ length: old.length + 1 }, () => new Array<number>(now.length + 1).fill(0));
  for (let at = old.length - 1; at >= 0; at -= 1) {
    for (let to = now.length - 1; to >= 0; to -= 1) {
      const [here, below] = [table[at] ?? [], table[at + 1] ?? []];
      here[to] = old[at] === now[to] ? (below[to + 1] ?? 0) + 1 : Math.max(below[to] ?? 0, here[to + 1] ?? 0);
    }
  }
  return table;
}
