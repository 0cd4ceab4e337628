/** What a person has lately changed in a file, as small diffs of whole lines.
 *
 * The text from before is kept once, and each place that has changed since as a pair of line ranges: in
 * the text from before, and in the text now. A key costs a few comparisons and no copy of the text.
 * Changes that touch are one edit, so that a word typed key by key is a single one.
 */

/** A change as VS Code reports it: whole lines of what stood before, and the text that came. */
export interface Change {
  readonly startLine: number;
  readonly endLine: number;
  readonly text: string;
}

/** One place: lines that stood there, and lines that stand there now. */
export interface Edit {
  /** The first line, from 0, of `after` in the text now. */
  readonly line: number;
  readonly before: readonly string[];
  readonly after: readonly string[];
}

interface Region {
  /** In the text from before. */
  readonly baseLine: number;
  readonly baseCount: number;
  /** In the text now. */
  line: number;
  readonly count: number;
  /** Counts changes: the place that was touched last has the highest. */
  readonly touched: number;
}

/** Older edits hint little at the next, and cost a model's prompt. */
const MAX_EDITS = 12;
/** A place that has grown beyond this is a paste or a format, not something to repeat. */
const MAX_LINES = 40;

export class RecentEdits {
  private base: string[];
  /** By line; none touches another. */
  private regions: Region[] = [];
  private touches = 0;

  /** `text`: the file as it was before any change that counts. */
  constructor(text: string) {
    this.base = linesOf(text);
  }

  /** Takes in one change. Of an event with several, each in turn, as VS Code orders them. */
  change({ startLine, endLine, text }: Change): void {
    const added = text.split("\n").length - 1;
    const grown = added - (endLine - startLine);
    const touching = this.regions.filter(({ line, count }) => startLine <= line + count && endLine >= line - 1);
    const first = Math.min(startLine, touching[0]?.line ?? startLine);
    const end = touching.at(-1);
    const last = Math.max(endLine, end ? end.line + end.count - 1 : endLine);
    const baseLine = this.baseOf(first);
    const region: Region = {
      baseLine,
      baseCount: this.baseOf(last, true) - baseLine + 1,
      line: first,
      count: last - first + 1 + grown,
      touched: (this.touches += 1),
    };
    const others = this.regions.filter((each) => !touching.includes(each));
    for (const each of others) if (each.line > last) each.line += grown;
    this.regions = [...others, region].sort((a, b) => a.line - b.line);
  }

  /** The edits, the latest last, given the lines of the text now. Forgets the oldest of too many. */
  edits(lines: readonly string[]): Edit[] {
    while (this.regions.length > MAX_EDITS) this.settleOldest(lines);
    const ordered = this.regions.toSorted((a, b) => a.touched - b.touched);
    return ordered.map((region) => this.editOf(region, lines)).filter((edit) => edit !== undefined);
  }

  /** The line from before that stands at `line` now. Within a place that changed: its first, or last. */
  private baseOf(line: number, last = false): number {
    let shift = 0;
    for (const region of this.regions) {
      if (region.line > line) break;
      if (line < region.line + region.count) return last ? region.baseLine + region.baseCount - 1 : region.baseLine;
      shift += region.count - region.baseCount;
    }
    return line - shift;
  }

  /** Takes the oldest place's lines for what always stood there. */
  private settleOldest(lines: readonly string[]): void {
    const oldest = this.regions.reduce((old, each) => (each.touched < old.touched ? each : old));
    const { baseLine, baseCount, line, count } = oldest;
    this.base.splice(baseLine, baseCount, ...lines.slice(line, line + count));
    const later = (each: Region) => (each.baseLine > baseLine ? { ...each, baseLine: each.baseLine + count - baseCount } : each);
    this.regions = this.regions.filter((each) => each !== oldest).map(later);
  }

  private editOf(region: Region, lines: readonly string[]): Edit | undefined {
    const before = this.base.slice(region.baseLine, region.baseLine + region.baseCount);
    const after = lines.slice(region.line, region.line + region.count);
    let start = 0;
    while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
    let end = 0;
    const shorter = Math.min(before.length, after.length) - start;
    while (end < shorter && before.at(-1 - end) === after.at(-1 - end)) end += 1;
    const edit = { line: region.line + start, before: before.slice(start, before.length - end), after: after.slice(start, after.length - end) };
    const size = edit.before.length + edit.after.length;
    return size === 0 || size > MAX_LINES ? undefined : edit;
  }
}

/** The lines of a text, without their ends. */
export function linesOf(text: string): string[] {
  return text.split(/\r?\n/);
}
