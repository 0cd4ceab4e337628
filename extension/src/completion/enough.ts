/** Whether an answer that is still being written already has all that will be shown. Pure. */

import type { Cursor } from "./cursor";
import { goesOnRepeating } from "./repeatedLines";

/** @param text of the answer so far */
export function isEnough(text: string, { prefix, suffix }: Pick<Cursor, "prefix" | "suffix">, multiline: boolean): boolean {
  if (!multiline) return /\S.*\n/.test(text) && !goesOnRepeating(text, { prefix, suffix });
  const line = prefix.slice(prefix.lastIndexOf("\n") + 1);
  const least = indentation(line);
  const written = text.split("\n");
  // The first line continues the cursor's, and the last may be unfinished: neither has its own indent.
  const whole = written.slice(1, -1).filter((each) => each.trim() !== "");
  return whole.some((each) => indentation(each) < least) || endsInBlankLines(text);
}

function endsInBlankLines(text: string): boolean {
  return /\S[^\n]*\n[ \t]*\n[ \t]*\n$/.test(text);
}

function indentation(line: string): number {
  return /^[ \t]*/.exec(line)?.[0].length ?? 0;
}
