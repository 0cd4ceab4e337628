/** What of a line a person sees change. Pure. */

export interface SmallDiff {
  /** UTF-16 units of the old line that go, from `start` to before `end`. */
  readonly start: number;
  readonly end: number;
  /** What comes in their place. */
  readonly text: string;
}

const WORD = /[\p{L}\p{N}_$]/u;

/** The one piece in which two lines differ, in whole words: half a word struck out can't be read. */
export function smallDiff(old: string, now: string): SmallDiff {
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1;
  let same = 0;
  const most = Math.min(old.length, now.length) - start;
  while (same < most && old.at(-1 - same) === now.at(-1 - same)) same += 1;
  while (start > 0 && isWord(old[start - 1]) && (isWord(old[start]) || isWord(now[start]))) start -= 1;
  while (same > 0 && isWord(old.at(-same)) && (isWord(old.at(-same - 1)) || isWord(now.at(-same - 1)))) same -= 1;
  return { start, end: old.length - same, text: now.slice(start, now.length - same) };
}

function isWord(char: string | undefined): boolean {
  return char !== undefined && WORD.test(char);
}
