/** How much a chunk has to do with the text at the cursor: by the identifiers that both use. */

/** Lines before and after the cursor's whose identifiers count. */
const LINES_BEFORE = 30;
const LINES_AFTER = 15;
/** Longer text is no code that a person reads: a line of data. */
const MAX_CHARS = 6_000;
const IDENTIFIER = /[A-Za-z_$][\w$]{2,60}/g;
/** Words of most languages, which do not show what a text is about. */
export const COMMON: ReadonlySet<string> = new Set(
  (
    "and any args assert async await bool boolean break case catch char class const continue def default del do " +
    "elif else end enum except export extends false final finally float for from func function get global if impl " +
    "implements import include int interface is isinstance lambda len let list match module mut new nil none None " +
    "not null number object or override package pass print private protected pub public raise range readonly " +
    "return self Self set static str string String struct super switch test the then this throw throws true True " +
    "False try type typeof undefined union unsafe use var void where while with yield int64 error err"
  ).split(" "),
);

/** The names that a text uses. */
export function identifiersOf(text: string): Set<string> {
  const names = new Set<string>();
  for (const [name] of text.matchAll(IDENTIFIER)) if (!COMMON.has(name)) names.add(name);
  return names;
}

/** The whole lines around the cursor. The cursor's own changes with each key, and does not count. */
export function nearbyText(prefix: string, suffix: string): string {
  const end = prefix.lastIndexOf("\n");
  let start = end;
  for (let line = 0; line < LINES_BEFORE && start >= 0; line += 1) start = prefix.lastIndexOf("\n", start - 1);
  const from = suffix.indexOf("\n");
  let to = from;
  for (let line = 0; line < LINES_AFTER && to >= 0; line += 1) to = suffix.indexOf("\n", to + 1);
  const before = end < 0 ? "" : prefix.slice(Math.max(0, start), end).slice(-MAX_CHARS);
  const after = from < 0 ? "" : suffix.slice(from, to < 0 ? undefined : to).slice(0, MAX_CHARS);
  return `${before}\n${after}`;
}

/** How distinctive each name is: one that few chunks have counts more (inverse document frequency). */
export class Rarity {
  private readonly weights = new Map<string, number>();

  constructor(private readonly sets: readonly ReadonlySet<string>[]) {}

  /** The weight of the names in both, against the size of the chunk. */
  score(wanted: ReadonlySet<string>, names: ReadonlySet<string>): number {
    let sum = 0;
    for (const name of wanted) if (names.has(name)) sum += this.weight(name);
    return sum / Math.sqrt(names.size + 20);
  }

  private weight(name: string): number {
    const known = this.weights.get(name);
    if (known !== undefined) return known;
    const having = this.sets.reduce((count, set) => count + (set.has(name) ? 1 : 0), 0);
    const weight = Math.log(1 + this.sets.length / having);
    this.weights.set(name, weight);
    return weight;
  }
}
