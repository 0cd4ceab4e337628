/** What an edit did, as something that can be done again elsewhere: one text for another. */

import { COMMON } from "../relevance";
import type { Edit } from "./recentEdits";

export interface Substitution {
  /** `name`: one identifier for another. `part`: some tokens of a line. `lines`: all of some lines. */
  readonly kind: "name" | "part" | "lines";
  readonly from: string;
  readonly to: string;
  /** Only a name: whether the edit was where the name is given, which makes every use of the old wrong. */
  readonly defines: boolean;
  /** Only a name: where it may stand: behind a dot, not behind one, or both. */
  readonly uses: "attribute" | "plain" | "any";
  /** Only a name: whether it is known in all of the file, or in the block of the edit. */
  readonly scope: "file" | "block";
  /** The line now that was edited. */
  readonly line: number;
}

interface Replaced {
  /** Tokens `start` to `end` of the old line. */
  readonly start: number;
  readonly end: number;
  readonly tokens: readonly string[];
}

const TOKEN = /[\p{L}_$][\p{L}\p{N}_$]*|\p{N}[\p{L}\p{N}_.]*|\s+|./gu;
const NAME = /^[\p{L}_$][\p{L}\p{N}_$]*$/u;
/** Tokens on either side that a part may grow by. */
const MAX_GROWN = 12;
/** A longer line is data, and a comparison of its tokens costs their square. */
const MAX_TOKENS = 160;
const NAMING = /^(def|class|function|func|fn|type|interface|struct|enum|trait|mod|module)$/;
const LOCAL_NAMING = /^(const|let|var|val|for|mut)$/;
/** Of these lines, `as` gives a name; elsewhere it is a cast. */
const BINDING = /^(import|from|with|async|except|use)$/;
const FUNCTION = /^(def|function|func|fn)$/;

/** What the edits did, of the latest first. */
export function substitutionsOf(edits: readonly Edit[]): Substitution[] {
  return edits.toReversed().flatMap((edit) => ofEdit(edit));
}

function ofEdit(edit: Edit): Substitution[] {
  const found: Substitution[] = [];
  const { before, after, line } = edit;
  if (before.length && before.some((each) => each.trim())) found.push(wholeLines(edit));
  if (before.length !== after.length) return found;
  const changed = before.map((old, at) => ofLine(old, after[at] ?? "", line + at));
  found.push(...changed.flatMap(({ parts }) => parts));
  // Where more was changed than one name, the name alone is weak evidence.
  const names = changed.flatMap(({ names }) => names);
  const [first] = names;
  if (first && names.every((each) => each?.from === first.from && each.to === first.to)) {
    found.push(...names.filter((each) => each !== undefined).filter((each) => each.defines), first);
  }
  return found;
}

function wholeLines({ before, after, line }: Edit): Substitution {
  return { ...ANYWHERE, kind: "lines", line, from: dedented(before, before), to: dedented(after, before) };
}

/** Lines without the indentation of the first of `like`. */
export function dedented(lines: readonly string[], like: readonly string[]): string {
  const indent = /^\s*/.exec(like[0] ?? "")?.[0] ?? "";
  return lines.map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line)).join("\n");
}

/** The parts that changed on one line, and for each replaced token the name that it is, if it is one. */
function ofLine(old: string, now: string, line: number): { parts: Substitution[]; names: (Substitution | undefined)[] } {
  const tokens = tokensOf(old);
  const replaced = replacedTokens(tokens, tokensOf(now));
  if (!isLike(tokens, replaced)) return { parts: [], names: [undefined] };
  return { parts: partsOf(replaced, tokens, line), names: replaced.map((each) => nameOf(each, tokens, line)) };
}

/** Whether at least half of a line's tokens stay: else it is another line, not a changed one. */
function isLike(tokens: string[], replaced: readonly Replaced[]): boolean {
  const visible = (some: string[]) => some.filter((token) => token.trim()).length;
  const gone = replaced.reduce((sum, { start, end }) => sum + visible(tokens.slice(start, end)), 0);
  return gone * 2 <= visible(tokens);
}

export function tokensOf(line: string): string[] {
  return line.match(TOKEN) ?? [];
}

function nameOf({ start, end, tokens }: Replaced, line: string[], at: number): Substitution | undefined {
  const [from, to] = [line[start] ?? "", tokens[0] ?? ""];
  if (end - start !== 1 || tokens.length !== 1 || !isName(from) || !isName(to)) return undefined;
  return { kind: "name", from, to, line: at, ...standing(line, start) };
}

/** Whether a token is a name that was given, and no word of the language. */
function isName(token: string): boolean {
  return NAME.test(token) && token.length > 1 && !COMMON.has(token);
}

const ANYWHERE = { defines: false, uses: "any", scope: "file" } as const;
const LOCAL = { defines: true, uses: "plain", scope: "block" } as const;

/** What the place of a name at `at` shows of it: whether it is given there, and how it is used. */
function standing(line: string[], at: number): Pick<Substitution, "defines" | "uses" | "scope"> {
  if (line[at - 1] === ".") return { defines: isAssigned(line, at), uses: "attribute", scope: "file" };
  const before = line.slice(0, at).filter((token) => token.trim());
  if (NAMING.test(before.at(-1) ?? "")) return { ...ANYWHERE, defines: true };
  if (before.at(-1) === "as" && BINDING.test(before[0] ?? "")) return { defines: true, uses: "plain", scope: "file" };
  if (isParameter(before)) return LOCAL;
  if (LOCAL_NAMING.test(before.at(-1) ?? "") || isAssigned(line, at)) return LOCAL;
  return { defines: false, uses: "plain", scope: "file" };
}

/** Whether the name at `at` of a line's tokens is given there: a definition, a parameter, an assignment. */
export function definesAt(line: string[], at: number): boolean {
  return standing(line, at).defines;
}

/** Whether the name stands left of `=`, or alone before `:` with a type. */
function isAssigned(line: string[], at: number): boolean {
  const before = line.slice(0, at).filter((token) => token.trim());
  const [next, later] = line.slice(at + 1).filter((token) => token.trim());
  if (!before.every((token) => NAME.test(token) || token === "." || token === ",")) return false;
  return (next === "=" && later !== "=") || (next === ":" && before.length === 0);
}

/** Whether a name after `before` is a parameter in a function's header. */
function isParameter(before: string[]): boolean {
  const header = before.findIndex((token) => FUNCTION.test(token));
  return header >= 0 && header <= 2 && ["(", ","].includes(before.at(-1) ?? "");
}

/** The replaced tokens, with enough around them to be whole: every bracket and quote has its
 * other one. What is replaced within that is part of it. */
function partsOf(replaced: readonly Replaced[], line: string[], at: number): Substitution[] {
  const found = new Map<string, Substitution>();
  for (const each of replaced) {
    const part = wholePart(each, replaced, line);
    if (part) found.set(part.from, { ...ANYWHERE, ...part, kind: "part", line: at });
  }
  return [...found.values()];
}

function wholePart(one: Replaced, all: readonly Replaced[], line: string[]): { from: string; to: string } | undefined {
  let [start, end] = [one.start, one.end];
  for (let grown = 0; grown <= MAX_GROWN; grown += 1) {
    // A token on either side first, so that the part is distinguished from others; then until it is whole.
    start = neighbour(line, start, -1);
    end = neighbour(line, end - 1, 1) + 1;
    const from = line.slice(start, end).join("");
    const to = withReplaced(line, start, end, all);
    if (to !== undefined && isWhole(from) && isWhole(to) && isTelling(from)) return from === to ? undefined : { from, to };
  }
  return undefined;
}

/** The tokens from `start` to `end` with all that is replaced in them; undefined where some of it lies
 * only partly within. */
function withReplaced(line: string[], start: number, end: number, all: readonly Replaced[]): string | undefined {
  let text = "";
  let at = start;
  for (const each of all) {
    if (each.end < start || each.start > end) continue;
    if (each.start < start || each.end > end) return undefined;
    text += line.slice(at, each.start).join("") + each.tokens.join("");
    at = each.end;
  }
  return text + line.slice(at, end).join("");
}

/** Whether each bracket and quote has its other one. */
function isWhole(text: string): boolean {
  const open: string[] = [];
  for (const char of text) {
    if ("([{".includes(char)) open.push(char);
    else if (")]}".includes(char) && open.pop() !== "([{"[")]}".indexOf(char)]) return false;
  }
  const even = ['"', "'", "`"].every((quote) => text.split(quote).length % 2 === 1);
  return open.length === 0 && even;
}

/** Whether a part is enough to find its like by: a name and something beside it. */
function isTelling(text: string): boolean {
  return /[\p{L}_]{3}/u.test(text) && tokensOf(text).filter((token) => token.trim()).length > 1;
}

/** The place of the next token that is no white space, as far as there is one. */
function neighbour(line: string[], from: number, step: number): number {
  let at = from + step;
  while (at >= 0 && at < line.length && !line[at]?.trim()) at += step;
  return at < 0 || at >= line.length ? from : at;
}

/** What `now` has in place of tokens of `old`: by their longest common subsequence. */
function replacedTokens(old: string[], now: string[]): Replaced[] {
  if (old.length > MAX_TOKENS || now.length > MAX_TOKENS) return [];
  const common = commonLengths(old, now);
  const found: Replaced[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && old[i] === now[j]) {
      [i, j] = [i + 1, j + 1];
      continue;
    }
    const [start, from] = [i, j];
    while ((i < old.length || j < now.length) && !(i < old.length && j < now.length && old[i] === now[j])) {
      if (j >= now.length || (i < old.length && length(common, i + 1, j) >= length(common, i, j + 1))) i += 1;
      else j += 1;
    }
    found.push({ start, end: i, tokens: now.slice(from, j) });
  }
  return found;
}

const length = (table: Uint16Array[], i: number, j: number) => table[i]?.[j] ?? 0;

function commonLengths(old: string[], now: string[]): Uint16Array[] {
  const table = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1));
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      const same = old[i] === now[j] ? length(table, i + 1, j + 1) + 1 : 0;
      (table[i] as Uint16Array)[j] = Math.max(same, length(table, i + 1, j), length(table, i, j + 1));
    }
  }
  return table;
}
