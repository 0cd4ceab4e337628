/** Brackets that a suggestion closes and that are closed already. */

import { indentColumns } from "./lines";
import type { Place } from "./postProcess";
import { lexemes, scanned, syntaxOf, type Syntax } from "./syntax";

/** A bracket with the column that its line's text begins at. */
interface Bracket {
  readonly char: string;
  readonly columns: number;
  /** Whether the line has nothing before it. */
  readonly first: boolean;
}

/** Brackets are matched within this many characters on either side of the cursor. */
const MATCHED_CHARS = 6_000;
const CLOSED_BY: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** `text` up to the first bracket that closes what nothing before it has left open. */
export function cutAtClosedBracket(text: string, place: Place): string {
  const syntax = syntaxOf(place.languageId);
  if (syntax.blocks === "prose" || !/[)\]}]/.test(text)) return text;
  const before = scanned(place.prefix, MATCHED_CHARS);
  const within = lexemes(before + text, syntax);
  const open = unclosed(before, syntax, place.tabSize);
  const following = unopened(place.suffix.slice(0, MATCHED_CHARS), before, syntax, place.tabSize);
  const own: string[] = [];
  for (const { kind, start } of within) {
    if (kind !== "bracket" || start < before.length) continue;
    const char = (before + text)[start] ?? "";
    if (CLOSED_BY[char]) own.push(CLOSED_BY[char]);
    else if (own.length) own.pop();
    else if (!closes(char, open, following)) return text.slice(0, start - before.length).trimEnd();
  }
  return text;
}

/** Whether `char` closes the innermost open bracket, which nothing after the cursor closes yet. */
function closes(char: string, open: Bracket[], following: Bracket[]): boolean {
  const innermost = open.at(-1);
  if (!innermost || CLOSED_BY[innermost.char] !== char) return false;
  const next = following[0];
  if (next?.char === char && (!next.first || next.columns === innermost.columns)) return false;
  open.pop();
  return true;
}

/** The brackets of `text` that it leaves open, the innermost last. */
function unclosed(text: string, syntax: Syntax, tabSize: number): Bracket[] {
  const open: Bracket[] = [];
  for (const { kind, start } of lexemes(text, syntax)) {
    if (kind !== "bracket") continue;
    const char = text[start] ?? "";
    if (CLOSED_BY[char]) open.push(bracketAt(text, start, char, tabSize));
    else if (CLOSED_BY[open.at(-1)?.char ?? ""] === char) open.pop();
  }
  return open;
}

/** The brackets of `text` that close what was open before it, in order. */
function unopened(text: string, before: string, syntax: Syntax, tabSize: number): Bracket[] {
  const found: Bracket[] = [];
  let depth = 0;
  for (const { kind, start } of lexemes(text, syntax)) {
    if (kind !== "bracket") continue;
    const char = text[start] ?? "";
    if (CLOSED_BY[char]) depth += 1;
    else if (depth) depth -= 1;
    else found.push(bracketAt(text, start, char, tabSize, before));
  }
  return found;
}

function bracketAt(text: string, start: number, char: string, tabSize: number, before = ""): Bracket {
  const from = text.lastIndexOf("\n", start) + 1;
  const line = from ? text.slice(from, start + 1) : before.slice(before.lastIndexOf("\n") + 1) + text.slice(0, start + 1);
  // On the cursor's own line a closer is no sign of a block, whatever stands before it.
  const first = from > 0 && line.trim() === char;
  return { char, columns: indentColumns(line, tabSize), first };
}
