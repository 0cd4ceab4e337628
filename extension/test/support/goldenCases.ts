/** Reads the golden cases of ghost text: `golden/README.md` explains their form. */

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

export interface GoldenCase {
  readonly languageId: string;
  readonly title: string;
  readonly prefix: string;
  readonly suffix: string;
  readonly raw: string;
  readonly finished: boolean;
  readonly shown: string | undefined;
}

const CURSOR = "‸";

export function goldenCases(folder: string): GoldenCase[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".txt")).sort();
  return files.flatMap((name) => casesOf(basename(name, ".txt"), readFileSync(join(folder, name), "utf8")));
}

function casesOf(languageId: string, text: string): GoldenCase[] {
  return text.split(/^=== /m).slice(1).map((each) => caseOf(languageId, each));
}

function caseOf(languageId: string, text: string): GoldenCase {
  const match = /^(.*)\n([^]*?)\n--- model(, cut short)?\n([^]*?)\n--- shows( nothing)?\n([^]*?)\n*$/.exec(text);
  if (!match) throw new Error(`${languageId}: not a case: ${text}`);
  const [, title = "", document = "", cutShort, raw = "", nothing, shown = ""] = match;
  const crlf = title.endsWith("(CRLF)");
  const ends = (lines: string) => (crlf ? lines.replaceAll("\n", "\r\n") : lines);
  const [prefix = "", suffix, more] = document.split(CURSOR);
  if (suffix === undefined || more !== undefined) throw new Error(`${languageId}: ${title}: one cursor, please`);
  return {
    languageId,
    title,
    prefix: ends(prefix),
    suffix: ends(suffix),
    raw,
    finished: !cutShort,
    shown: nothing ? undefined : ends(shown.replace(/⏎$/, "\n")),
  };
}
