/** Where the edit that follows is, and what it is, from the edits before it. Pure.
 *
 * A person who renames a thing, changes how it is called or how it is imported has the same to do in
 * other places of the file. What was done is read from the edits as substitutions; a place that has the
 * old text still is a candidate. No model is asked for these: what was done twice is known. Each kind of
 * evidence proposes only as far as it was right in real history (`benchmarks/next_edit.py`).
 */

import { lexemes, syntaxOf } from "../syntax";
import type { Edit } from "./recentEdits";
import { dedented, definesAt, substitutionsOf, tokensOf, type Substitution } from "./substitution";

/** Lines from `line` to before `endLine` are to become `lines`. */
export interface Replacement {
  readonly line: number;
  readonly endLine: number;
  readonly lines: readonly string[];
}

export interface Proposal extends Replacement {
  readonly evidence: Evidence;
}

export interface Evidence {
  readonly kind: "rename" | "name" | "part" | "lines";
  /** How often the edits did this already. */
  readonly times: number;
  /** Of the lines before and after, how many are the same there as where the edit was: 0 to 2. */
  readonly alike: number;
}

/** Confidence grows with each further example and each similar neighbour. An edit that adds lines
 * brought something new, which seldom belongs elsewhere too. */
export function support(proposal: Proposal): number {
  const { kind, times, alike } = proposal.evidence;
  const grows = kind === "lines" && proposal.lines.length > proposal.endLine - proposal.line;
  return times - 1 + alike - (grows ? 2 : 0);
}

export interface File {
  readonly languageId: string;
  /** The text now. */
  readonly lines: readonly string[];
  /** The latest last. */
  readonly edits: readonly Edit[];
}

/** The support that a proposal needs, by kind: the least with which, in the history that the rules were
 * written by, four of five were right or nearer. A definition's new name needs none. */
export const SUPPORT_NEEDED: Readonly<Record<Evidence["kind"], number>> = { rename: 0, name: 2, part: 2, lines: 1 };
/** Lines with fewer letters and digits, such as `return rv`, are alike by chance. */
const DISTINCTIVE_CHARS = 16;
/** A name that stands in more places, and was changed in a few, means more than one thing. */
const MAX_NAME_PLACES = 5;
/** A file of more lines is searched only around the last edit. */
const SEARCHED_LINES = 4000;

/** The places that the edits leave to be changed: the one that follows first. */
export function predict(file: File, supportNeeded: Readonly<Record<Evidence["kind"], number>> = SUPPORT_NEEDED): Proposal[] {
  const latest = file.edits.at(-1);
  if (!latest) return [];
  const edited = editedLines(file.edits);
  const all = substitutionsOf(file.edits);
  const found = new Map<number, Proposal>();
  for (const substitution of substitutionsOf([latest])) {
    const evidence = evidenceOf(substitution, all);
    for (const proposal of places(givenBy(substitution, all), evidence, file, edited)) {
      if (support(proposal) < supportNeeded[proposal.evidence.kind] || found.has(proposal.line)) continue;
      found.set(proposal.line, proposal);
    }
  }
  return nearestFirst([...found.values()], latest.line);
}

export function nearestFirst<T extends Replacement>(found: readonly T[], line: number): T[] {
  return found.toSorted((a, b) => distance(a.line, line) - distance(b.line, line));
}

/** Downwards first, as a file is read; what stands above comes after it. */
function distance(line: number, from: number): number {
  return line >= from ? line - from : 1e6 + from - line;
}

function editedLines(edits: readonly Edit[]): ReadonlySet<number> {
  return new Set(edits.flatMap(({ line, after }) => after.map((_, at) => line + at)));
}

function isSame(one: Substitution, other: Substitution): boolean {
  return one.kind === other.kind && one.from === other.from && one.to === other.to;
}

/** Of a name, the edit where it is given: that shows where it is known. */
function givenBy(substitution: Substitution, all: readonly Substitution[]): Substitution {
  return all.find((each) => each.defines && isSame(each, substitution)) ?? substitution;
}

function evidenceOf(substitution: Substitution, all: readonly Substitution[]): Evidence {
  const same = all.filter((each) => isSame(each, substitution));
  const renames = same.some(({ defines }) => defines);
  const times = new Set(same.map(({ line }) => line)).size;
  return { kind: renames ? "rename" : substitution.kind, times, alike: 0 };
}

function places(substitution: Substitution, evidence: Evidence, file: File, edited: ReadonlySet<number>): Proposal[] {
  const { lines } = file;
  if (substitution.kind === "lines") return linePlaces(substitution, evidence, lines, edited);
  if (evidence.kind === "rename" && existed(substitution, file)) return [];
  const [from, to] = rangeOf(substitution, evidence, lines);
  if (evidence.kind === "rename" && isGivenElsewhere(substitution, lines.slice(from, to))) return [];
  const found: Proposal[] = [];
  for (let line = from; line < to; line += 1) {
    const now = lines[line] ?? "";
    if (edited.has(line) || !now.includes(substitution.from)) continue;
    const changed = substitution.kind === "name" ? renamed(now, substitution) : parts(now, substitution);
    if (changed === now) continue;
    const alike = alikeNeighbours(lines, [substitution.line, substitution.line + 1], [line, line + 1]);
    found.push({ line, endLine: line + 1, lines: [changed], evidence: { ...evidence, alike } });
  }
  if (evidence.kind === "name" && found.length > MAX_NAME_PLACES) return [];
  return found.length ? inCode(found, substitution.line, file, [from, to]) : [];
}

/** The proposals for lines of code; none where the edit itself was in a comment or a string. */
function inCode(found: Proposal[], edited: number, file: File, [from, to]: [number, number]): Proposal[] {
  const prose = proseLines(file, from, to);
  return prose.has(edited) ? [] : found.filter(({ line }) => !prose.has(line));
}

/** The lines that are within or begin with a comment or a string: words of prose are no names. */
function proseLines({ lines, languageId }: File, from: number, to: number): ReadonlySet<number> {
  const text = lines.slice(from, to).join("\n");
  const found = new Set<number>();
  let [line, start] = [from, 0];
  for (const { kind, start: at, end } of lexemes(text, syntaxOf(languageId))) {
    if (kind === "bracket") continue;
    for (let next = text.indexOf("\n", start); next >= 0 && next < at; next = text.indexOf("\n", start)) {
      [line, start] = [line + 1, next + 1];
    }
    if (!text.slice(start, at).trim()) found.add(line);
    for (let next = text.indexOf("\n", start); next >= 0 && next < end; next = text.indexOf("\n", start)) {
      [line, start] = [line + 1, next + 1];
      found.add(line);
    }
  }
  return found;
}

/** How many of the lines right before and after two places are the same. */
function alikeNeighbours(lines: readonly string[], one: [number, number], two: [number, number]): number {
  const same = (a: number, b: number) => Number(lines[a]?.trim() === lines[b]?.trim());
  return same(one[0] - 1, two[0] - 1) + same(one[1], two[1]);
}

/** Whether the new name is one that the file had: then this is no rename, but the use of another thing. */
function existed({ to }: Substitution, { lines, edits }: File): boolean {
  const edited = editedLines(edits);
  const old = edits.some(({ before }) => before.some((line) => tokensOf(line).includes(to)));
  return old || lines.some((line, at) => !edited.has(at) && line.includes(to) && tokensOf(line).includes(to));
}

/** Whether a line still gives the old name: then it goes on to be, and its uses are not wrong. */
function isGivenElsewhere({ from, uses }: Substitution, lines: readonly string[]): boolean {
  return lines.some((line) => {
    if (!line.includes(from)) return false;
    const tokens = tokensOf(line);
    const isLike = (at: number) => (tokens[at - 1] === ".") === (uses === "attribute");
    return tokens.some((token, at) => token === from && isLike(at) && definesAt(tokens, at));
  });
}

/** The lines in which the substitution holds. */
function rangeOf({ line, scope }: Substitution, evidence: Evidence, lines: readonly string[]): [number, number] {
  if (evidence.kind === "rename" && scope === "block") return blockOf(line, lines);
  return [Math.max(0, line - SEARCHED_LINES), Math.min(lines.length, line + SEARCHED_LINES)];
}

/** The block of a name that `line` gives: all that is indented as the line is, or deeper than its header. */
function blockOf(line: number, lines: readonly string[]): [number, number] {
  const text = lines[line] ?? "";
  const isHeader = /^\s*(async\s+|export\s+|public\s+|pub\s+)*(def|function|func|fn)\b/.test(text);
  const least = isHeader ? indent(text) + 1 : indent(text);
  const within = (at: number) => !lines[at]?.trim() || indent(lines[at] ?? "") >= least;
  let start = line;
  while (!isHeader && start > 0 && within(start - 1)) start -= 1;
  let end = line + 1;
  while (end < lines.length && within(end)) end += 1;
  return [start, end];
}

function indent(line: string): number {
  return /^\s*/.exec(line)?.[0].length ?? 0;
}

/** The line with the new name for the old, where that stands as it is used. */
function renamed(line: string, { from, to, uses }: Substitution): string {
  const tokens = tokensOf(line);
  // `name=` within a call is the name of a parameter of another function.
  const isKeyword = (at: number) => uses === "plain" && tokens[at + 1] === "=" && tokens[at + 2] !== "=";
  const stands = (at: number) => uses === "any" || (tokens[at - 1] === ".") === (uses === "attribute");
  const fits = (at: number) => tokens[at] === from && stands(at) && !isKeyword(at);
  return tokens.map((token, at) => (fits(at) ? to : token)).join("");
}

/** The line with the new part for the old, where tokens begin and end as the old part does. */
function parts(line: string, { from, to }: Substitution): string {
  let changed = "";
  let rest = 0;
  for (let at = line.indexOf(from); at >= 0; at = line.indexOf(from, at + from.length)) {
    const cuts = isWord(line[at - 1], from[0]) || isWord(line[at + from.length], from.at(-1));
    if (cuts) continue;
    changed += line.slice(rest, at) + to;
    rest = at + from.length;
  }
  return changed + line.slice(rest);
}

function isWord(a: string | undefined, b: string | undefined): boolean {
  return /[\p{L}\p{N}_$]/u.test(a ?? "") && /[\p{L}\p{N}_$]/u.test(b ?? "");
}

/** Other lines that read as the old ones did, at whatever indentation. */
function linePlaces(substitution: Substitution, evidence: Evidence, lines: readonly string[], edited: ReadonlySet<number>): Proposal[] {
  const old = substitution.from.split("\n");
  if (substitution.from.replace(/[^\p{L}\p{N}]/gu, "").length < DISTINCTIVE_CHARS) return [];
  const found: Proposal[] = [];
  for (let line = 0; line + old.length <= lines.length; line += 1) {
    if (edited.has(line) || lines[line]?.trim() !== old[0]?.trim()) continue;
    const here = lines.slice(line, line + old.length);
    if (dedented(here, here) !== substitution.from) continue;
    const space = /^\s*/.exec(here[0] ?? "")?.[0] ?? "";
    const made = substitution.to === "" ? [] : substitution.to.split("\n").map((each) => (each ? space + each : each));
    const count = substitution.to === "" ? 0 : made.length;
    const alike = alikeNeighbours(lines, [substitution.line, substitution.line + count], [line, line + old.length]);
    found.push({ line, endLine: line + old.length, lines: made, evidence: { ...evidence, alike } });
  }
  return found;
}
