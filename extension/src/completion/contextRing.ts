/** What was lately opened, edited, saved or copied from, in chunks: what a model should know of other
 * files when it completes this one.
 *
 * An engine keeps what it has read of a prompt up to the first change, and these chunks stand at the
 * prompt's start. So what `pick` returns changes as rarely as it can: the line that is being typed does
 * not count, chunks that were picked stay where they are until others fit much better, and new ones come
 * after them.
 */

import { chunkAt, type Chunk, hashesOf, type NoteKind, sharedShare, similarity } from "./chunk";
import { identifiersOf, nearbyText, Rarity } from "./relevance";

export interface Note {
  readonly uri: string;
  readonly languageId: string;
  /** The whole file. */
  readonly text: string;
  readonly kind: NoteKind;
  /** The line, from 0, that was looked at, changed or copied. */
  readonly line: number;
}

export interface Request {
  readonly uri: string;
  readonly languageId: string;
  readonly prefix: string;
  readonly suffix: string;
  /** The most characters of all chunks with their names. */
  readonly maxChars: number;
}

export interface Picked {
  readonly filename: string;
  readonly text: string;
}

const MAX_BYTES = 1_000_000;
/** Chunks with this share of lines in common count as one (Jaccard); the newer one stays. */
const SAME = 0.8;
/** A chunk with this share of its lines around the cursor is what the model sees anyway. */
const IN_WINDOW = 0.3;
/** How much before and after the cursor is compared with the chunks. */
const WINDOW_CHARS = 48_000;
/** A chunk that was picked gives way only to one that fits better by this factor. */
const LOYALTY = 1.6;
/** Files between which a person goes back and forth. */
const REMEMBERED_FILES = 8;
/** What a person copied is about to be used; what was edited or saved is being worked on. */
const KIND_WEIGHT: Readonly<Record<NoteKind, number>> = { copied: 1.3, edited: 1.1, saved: 1.1, opened: 1 };

export class ContextRing {
  /** The newest last. */
  private chunks: Chunk[] = [];
  private readonly maxBytes: number;
  private held = 0;
  /** What was picked last for each of a few files, the latest file last. */
  private readonly picked = new Map<string, readonly Chunk[]>();

  /** Counts what changed the chunks. */
  private changes = 0;
  /** Most keys ask what the key before them asked: the lines around the cursor's are the same. */
  private answered: { question: string; picked: readonly Chunk[] } = { question: "", picked: [] };

  /** `maxBytes`: the most memory that the chunks may take, about. */
  constructor(options: { maxBytes?: number } = {}) {
    this.maxBytes = options.maxBytes ?? MAX_BYTES;
  }

  /** The memory that the chunks take, about. */
  get bytes(): number {
    return this.held;
  }

  /** Takes in the lines around `source.line`, in place of any that are nearly the same. */
  note(source: Note): void {
    const chunk = chunkAt(source);
    if (!chunk || chunk.bytes > this.maxBytes) return;
    const same = this.chunks.find((each) => each.uri === chunk.uri && each.text === chunk.text);
    if (same && this.chunks.at(-1) === same) return; // typing in one place
    this.keep((each) => each !== same && !isOlderThan(each, chunk));
    this.changes += 1;
    // The same text again is the same chunk: an engine that has read it need not read it again.
    this.chunks.push(same ?? chunk);
    this.held += (same ?? chunk).bytes;
    while (this.held > this.maxBytes) this.held -= this.chunks.shift()?.bytes ?? 0;
  }

  /** Drops all of a file: it was deleted, or must not be sent. */
  forget(uri: string): void {
    this.keep((each) => each.uri !== uri);
    this.changes += 1;
    this.picked.delete(uri);
  }

  /** The chunks that have most to do with the text around the cursor, at most `maxChars` in all. */
  pick(request: Request): Picked[] {
    const nearby = nearbyText(request.prefix, request.suffix);
    const question = `${this.changes} ${request.maxChars} ${request.uri} ${nearby}`;
    if (question !== this.answered.question) this.answered = { question, picked: this.pickAnew(request, nearby) };
    return this.answered.picked.map(({ filename, text }) => ({ filename, text }));
  }

  private pickAnew(request: Request, nearby: string): readonly Chunk[] {
    const before = this.picked.get(request.uri) ?? [];
    const chosen = this.choose(request, nearby, before);
    const kept = before.filter((each) => chosen.has(each));
    // The best stands last, next to the code: of those that are new here.
    const added = [...chosen].filter((each) => !kept.includes(each)).reverse();
    const picked = [...kept, ...added];
    this.remember(request.uri, picked);
    return picked;
  }

  private remember(uri: string, picked: readonly Chunk[]): void {
    this.picked.delete(uri);
    this.picked.set(uri, picked);
    const [oldest] = this.picked.keys();
    if (oldest !== undefined && this.picked.size > REMEMBERED_FILES) this.picked.delete(oldest);
  }

  /** The best chunks that fit, the best first. */
  private choose(request: Request, nearby: string, before: readonly Chunk[]): Set<Chunk> {
    const chosen = new Set<Chunk>();
    let room = request.maxChars;
    for (const chunk of this.ranked(request, nearby, before)) {
      const chars = chunk.text.length + chunk.filename.length + 2;
      if (chars > room) continue;
      chosen.add(chunk);
      room -= chars;
    }
    return chosen;
  }

  private ranked(request: Request, nearby: string, before: readonly Chunk[]): Chunk[] {
    const { prefix, suffix, languageId } = request;
    const window = hashesOf(prefix.slice(-WINDOW_CHARS) + suffix.slice(0, WINDOW_CHARS));
    const wanted = identifiersOf(nearby);
    const rarity = new Rarity(this.chunks.map((each) => each.identifiers));
    const scored = this.chunks.map((chunk, age) => {
      const loyalty = before.includes(chunk) ? LOYALTY : 1;
      const weight = KIND_WEIGHT[chunk.kind] * (chunk.languageId === languageId ? 1 : 0.5) * loyalty;
      return { chunk, age, score: weight * rarity.score(wanted, chunk.identifiers) };
    });
    const related = scored.filter(({ chunk, score }) => score > 0 && sharedShare(chunk, window) < IN_WINDOW);
    return related.sort((a, b) => b.score - a.score || b.age - a.age).map(({ chunk }) => chunk);
  }

  private keep(wanted: (chunk: Chunk) => boolean): void {
    this.chunks = this.chunks.filter(wanted);
    this.held = this.chunks.reduce((sum, each) => sum + each.bytes, 0);
  }
}

/** Whether `chunk` repeats `old`: the same place of a file, or nearly the same lines. */
function isOlderThan(old: Chunk, chunk: Chunk): boolean {
  if (old.uri === chunk.uri && old.startLine === chunk.startLine) return true;
  return similarity(old, chunk) >= SAME;
}
