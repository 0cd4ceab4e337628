/** A piece of a file that was looked at. */

import { identifiersOf } from "./relevance";

export type NoteKind = "opened" | "edited" | "saved" | "copied";

export interface Chunk {
  readonly uri: string;
  readonly languageId: string;
  readonly kind: NoteKind;
  /** The file's name as a model is shown it: the end of its path. */
  readonly filename: string;
  readonly startLine: number;
  readonly text: string;
  /** Hashes of its lines with content. */
  readonly lines: ReadonlySet<number>;
  readonly identifiers: ReadonlySet<string>;
  readonly bytes: number;
}

/** Lines of a chunk: a function or two, about 600 tokens. */
const CHUNK_LINES = 48;
/** Chunks begin at multiples of this, so that two looks at one place make one chunk. */
const STEP_LINES = 24;
/** A line of minified code is longer than what a model should read. */
const MAX_CHARS = 6_000;
/** Folders of a path that a model is shown: enough to distinguish two files of one name. */
const SHOWN_PARTS = 3;
/** Bytes of one entry in a Set of strings or numbers, about. */
const ENTRY_BYTES = 40;

/** The chunk around a line; undefined where there is nothing to read. */
export function chunkAt(source: {
  uri: string;
  languageId: string;
  text: string;
  kind: NoteKind;
  line: number;
}): Chunk | undefined {
  const { uri, languageId, kind } = source;
  const startLine = Math.max(0, Math.floor((source.line - STEP_LINES / 2) / STEP_LINES) * STEP_LINES);
  const text = linesFrom(source.text, startLine, CHUNK_LINES);
  const lines = hashesOf(text);
  if (!lines.size || text.length > MAX_CHARS || text.includes("\0")) return undefined;
  const identifiers = identifiersOf(text);
  const entries = lines.size + identifiers.size;
  const bytes = 2 * (uri.length + text.length) + ENTRY_BYTES * entries;
  return { uri, languageId, kind, filename: shownName(uri), startLine, text, lines, identifiers, bytes };
}

/** Lines without a split of the whole file, which may be large. */
function linesFrom(text: string, startLine: number, count: number): string {
  let from = 0;
  for (let line = 0; line < startLine; line += 1) {
    const end = text.indexOf("\n", from);
    if (end < 0) return "";
    from = end + 1;
  }
  let to = from;
  for (let line = 0; line < count && to >= 0; line += 1) {
    const end = text.indexOf("\n", to);
    to = end < 0 ? -1 : end + 1;
  }
  return ownCopy(text.slice(from, to < 0 ? undefined : to).replaceAll("\r", "").trimEnd());
}

/** The same string in memory of its own: a part of a string keeps all of it, which may be a megabyte. */
function ownCopy(part: string): string {
  return JSON.parse(JSON.stringify(part)) as string;
}

function shownName(uri: string): string {
  const path = uri.replace(/[?#].*$/, "").replace(/^[\w.+-]+:\/*/, "");
  return decoded(path).split("/").slice(-SHOWN_PARTS).join("/");
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // a name with a percent sign of its own
  }
}

/** A hash (FNV-1a, 32 bits) of each line that holds more than a bracket. */
export function hashesOf(text: string): Set<number> {
  const hashes = new Set<number>();
  let [hash, chars] = [0x811c9dc5, 0];
  for (let at = 0; at <= text.length; at += 1) {
    const code = at < text.length ? text.charCodeAt(at) : 10;
    if (code === 10) {
      if (chars > 2) hashes.add(hash);
      [hash, chars] = [0x811c9dc5, 0];
    } else if (code > 32) {
      hash = Math.imul(hash ^ code, 0x01000193);
      chars += 1;
    }
  }
  return hashes;
}

/** How much two chunks have in common: Jaccard's index of their lines. */
export function similarity(a: Chunk, b: Chunk): number {
  const shared = sharedCount(a.lines, b.lines);
  return shared / (a.lines.size + b.lines.size - shared);
}

/** The share of a chunk's lines that are among `lines`. */
export function sharedShare(chunk: Chunk, lines: ReadonlySet<number>): number {
  return sharedCount(chunk.lines, lines) / chunk.lines.size;
}

function sharedCount(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
  let count = 0;
  for (const line of a) if (b.has(line)) count += 1;
  return count;
}
