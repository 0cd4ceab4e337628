/** What a suggestion repeats of the text that already follows the cursor. */

import { lineAfter, linesBelow } from "./lines";
import type { Place } from "./postProcess";

/** Lines below the cursor that a suggestion is compared with. */
const COMPARED_LINES = 8;
/** A line with this many letters and digits in a row is no chance match; `}` and `return x` may be. */
const DISTINCTIVE = /[\p{L}\p{N}_]{3}/u;
const ONLY_BRACKETS = /^[\s)\]};,]*$/;

/** `text` up to where it goes on as the lines below the cursor do. */
export function cutAtBelow(text: string, { suffix }: Place): string {
  const below = linesBelow(suffix, COMPARED_LINES);
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    if (lines[at]?.trim() && at > 0 && repeats(lines.slice(at), below)) return lines.slice(0, at).join("\n").trimEnd();
  }
  return text;
}

/** Whether `lines` begin as `below` does: in a distinctive line, or in all that is left. */
function repeats(lines: string[], below: string[]): boolean {
  const written = lines.map((line) => line.trimEnd()).filter((line) => line);
  let same = 0;
  while (same < written.length && same < below.length && written[same] === below[same]) same += 1;
  if (same === 0) return false;
  if (written.slice(0, same).some((line) => DISTINCTIVE.test(line))) return true;
  // Brackets alone are counted by `cutAtClosedBracket`, which knows whether one is missing.
  return same === written.length && (same > 1 || !ONLY_BRACKETS.test(written[0] ?? ""));
}

/** `text` without what stands after the cursor on its own line. */
export function cutRestOfLine(text: string, { suffix }: Place): string {
  const rest = lineAfter(suffix).trimEnd();
  if (!rest.trim()) return text;
  const [first = "", ...more] = text.split("\n");
  if (more.length) return [first, ...untilLine(more, rest.trim())].join("\n");
  const whole = rest.trim().length > 2 ? first.indexOf(rest.trim()) : -1;
  if (whole >= 0) return /^\s/.test(rest) ? first.slice(0, whole).trimEnd() : first.slice(0, whole);
  for (let size = Math.min(rest.length, first.length); size > 0; size -= 1) {
    const overlap = rest.slice(0, size);
    if (first.endsWith(overlap) && !isOwn(first, overlap)) return first.slice(0, -size);
  }
  return first;
}

/** The lines before the one that begins as the rest of the cursor's line does. */
function untilLine(lines: string[], rest: string): string[] {
  const at = lines.findIndex((line) => line.trim().startsWith(rest));
  return at < 0 ? lines : lines.slice(0, at);
}

/** Whether the end of the suggestion is its own although the line goes on the same way: the bracket
 * that closes one of its own, which `cutAtClosedBracket` has left in, or a letter by chance. No half of
 * a surrogate pair is cut off. */
function isOwn(text: string, overlap: string): boolean {
  if (/^[)\]}\s]+$/.test(overlap)) return true;
  if (/^[\uDC00-\uDFFF]/.test(overlap)) return true;
  if (overlap.startsWith(">")) return count(text, "<") >= count(text.replace(/[-=]>/g, ""), ">");
  if (/^["'`]/.test(overlap)) return count(text, overlap[0] ?? "") % 2 === 0;
  return /^[\p{L}\p{N}_]{1,2}$/u.test(overlap);
}

function count(text: string, char: string): number {
  return text.split(char).length - 1;
}
