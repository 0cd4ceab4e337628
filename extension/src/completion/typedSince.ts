/** What the person has typed between two places of the cursor, from the text alone. Pure. */

import type { Cursor } from "./cursor";

/** Characters of each side that are compared: more would cost time and change nothing. */
const PREFIX_CHARS = 1024;
const SUFFIX_CHARS = 256;
/** What an editor adds after the cursor by itself: closing brackets and quotes, on lines of their own
 * too. */
const ADDED = /^[\s)\]}>"'`]{0,80}/;

/** The text between `from` and `to`, or undefined where `to` is not `from` with text typed after it. */
export function typedSince(from: Cursor, to: Cursor): string | undefined {
  const start = placeIn(from, to);
  if (start === undefined) return undefined;
  const head = to.prefix.slice(0, start);
  return sameEnd(from.prefix, head) && sameRest(from.suffix, to.suffix)
    ? to.prefix.slice(start)
    : undefined;
}

/** Where the cursor `from` is in the prefix of `to`. */
function placeIn(from: Cursor, to: Cursor): number | undefined {
  if (from.uri !== to.uri || to.line < from.line) return undefined;
  if (to.line === from.line) {
    const start = to.prefix.length - (to.character - from.character);
    return to.character >= from.character && start >= 0 ? start : undefined;
  }
  let lineStart = to.prefix.length;
  for (let line = to.line; line >= from.line; line -= 1) {
    const newline = lineStart > 0 ? to.prefix.lastIndexOf("\n", lineStart - 1) : -1;
    // The window of `to` may begin with the line of `from`.
    if (newline < 0 && line > from.line) return undefined;
    lineStart = line === from.line ? newline + 1 : newline;
  }
  const start = lineStart + from.character;
  return start <= to.prefix.length ? start : undefined;
}

function sameEnd(a: string, b: string): boolean {
  const chars = Math.min(a.length, b.length, PREFIX_CHARS);
  if (chars === 0) return a.length === b.length;
  return a.slice(-chars) === b.slice(-chars);
}

function sameRest(before: string, now: string): boolean {
  const added = ADDED.exec(now)?.[0].length ?? 0;
  for (let at = 0; at <= added; at += 1) if (sameStart(before, now.slice(at))) return true;
  return false;
}

function sameStart(a: string, b: string): boolean {
  const chars = Math.min(a.length, b.length, SUFFIX_CHARS);
  if (chars === 0) return a.length === b.length;
  return a.slice(0, chars) === b.slice(0, chars);
}
