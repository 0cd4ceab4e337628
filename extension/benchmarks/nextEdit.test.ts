/** Next edits replayed on real history, printed and never judged.
 *
 *     python benchmarks/next_edit_history.py /tmp/history --held-out
 *     NEXT_EDIT_HISTORY=/tmp/history/history.json npm run benchmark -- nextEdit
 *
 * Between two releases of a package, a file changed in several places. They are made one after another in
 * a random order, as a person may have, and after each `predict` is asked what follows. A proposal is
 * right where its lines then read as in the newer release, nearer where more is to change in them, and
 * wrong where it takes them no nearer. The goal: of a hundred proposals eighty right or nearer, else next
 * edit is off by default.
 */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { predict, support, type Proposal } from "../src/completion/nextEdit/predict";
import { tokensOf } from "../src/completion/nextEdit/substitution";
import { RecentEdits } from "../src/completion/nextEdit/recentEdits";
import { random } from "../test/support/random";

interface Hunk {
  readonly line: number;
  readonly endLine: number;
  readonly lines: string[];
}
interface History {
  readonly package: string;
  readonly path: string;
  readonly before: string[];
  readonly hunks: Hunk[];
}

/** A file while it is changed: where each hunk's lines stand now. */
class Replay {
  readonly lines: string[];
  readonly recent: RecentEdits;
  private readonly made = new Set<Hunk>();

  constructor(private readonly file: History) {
    this.lines = [...file.before];
    this.recent = new RecentEdits(file.before.join("\n"));
  }

  /** Where a line of the older text stands now. */
  private now(line: number): number {
    const above = [...this.made].filter((hunk) => hunk.endLine <= line && hunk.line < line + 1);
    return line + above.reduce((sum, { line: from, endLine, lines }) => sum + lines.length - (endLine - from), 0);
  }

  judged(proposal: Proposal): keyof Counts {
    if (this.isRight(proposal)) return "right";
    return this.isNearer(proposal) ? "nearer" : "wrong";
  }

  make(hunk: Hunk): void {
    const [start, old] = [this.now(hunk.line), hunk.endLine - hunk.line];
    this.made.add(hunk);
    this.lines.splice(start, old, ...hunk.lines);
    // As VS Code reports whole lines: those before `start` keep their end, and an inserted line brings one.
    if (old === 0) this.recent.change({ startLine: start, endLine: start, text: [...hunk.lines, ""].join("\n") });
    else if (hunk.lines.length === 0) this.recent.change({ startLine: start, endLine: start + old, text: "" });
    else this.recent.change({ startLine: start, endLine: start + old - 1, text: hunk.lines.join("\n") });
  }

  /** Whether the place then is nearer to the newer release, though more is to change there. */
  isNearer(proposal: Proposal): boolean {
    const left = this.file.hunks.filter((hunk) => !this.made.has(hunk));
    const hunk = left.find((each) => {
      const start = this.now(each.line);
      return proposal.line < start + each.endLine - each.line && proposal.endLine > start;
    });
    if (!hunk) return false;
    const start = Math.min(this.now(hunk.line), proposal.line);
    const end = Math.max(this.now(hunk.line) + hunk.endLine - hunk.line, proposal.endLine);
    const now = this.lines.slice(start, end);
    const then = [...now.slice(0, proposal.line - start), ...proposal.lines, ...now.slice(proposal.endLine - start)];
    return distance(then, hunk.lines) < distance(now, hunk.lines);
  }

  /** Whether lines `line` to before `endLine` become `lines` in the newer release, given what is left. */
  isRight(proposal: Proposal): boolean {
    const left = this.file.hunks.filter((hunk) => !this.made.has(hunk));
    return left.some((hunk) => {
      const start = this.now(hunk.line);
      const end = start + hunk.endLine - hunk.line;
      if (proposal.line < start || proposal.endLine > end) return false;
      if (!proposal.lines.length) return proposal.endLine - proposal.line === end - start && !hunk.lines.length;
      // The proposed lines in their order within the hunk's.
      const at = hunk.lines.indexOf(proposal.lines[0] ?? "");
      return at >= 0 && proposal.lines.every((line, offset) => hunk.lines[at + offset] === line);
    });
  }
}

/** Tokens that two texts do not have in common, by their longest common subsequence. */
function distance(a: readonly string[], b: readonly string[]): number {
  const [one, two] = [tokensOf(a.join("\n")), tokensOf(b.join("\n"))];
  let row = new Uint32Array(two.length + 1);
  for (const token of one) {
    const above = row;
    row = new Uint32Array(two.length + 1);
    for (let at = 0; at < two.length; at += 1) {
      row[at + 1] = token === two[at] ? (above[at] ?? 0) + 1 : Math.max(above[at + 1] ?? 0, row[at] ?? 0);
    }
  }
  return one.length + two.length - 2 * (row.at(-1) ?? 0);
}

function shuffled<T>(values: readonly T[], next: () => number): T[] {
  return values.map((value) => ({ value, key: next() })).sort((a, b) => a.key - b.key).map(({ value }) => value);
}

interface Counts {
  right: number;
  nearer: number;
  wrong: number;
}

const path = process.env["NEXT_EDIT_HISTORY"] ?? "";
/** Random orders of each file's changes. */
const ORDERS = 2;
const none = { rename: 99, name: 99, part: 99, lines: 99 };
const any = { rename: -9, name: -9, part: -9, lines: -9 };

test.skipIf(!existsSync(path))("next edits of real history", { timeout: 600_000 }, () => {
  const history = JSON.parse(readFileSync(path, "utf8")) as History[];
  const byEvidence = new Map<string, Counts>();
  const ruled: Counts = { right: 0, nearer: 0, wrong: 0 };
  let [steps, askedMs, reachable] = [0, 0, 0];
  for (const file of history) {
    const next = random(file.path.length * 7919 + file.hunks.length);
    for (let order = 0; order < ORDERS; order += 1) {
      const replay = new Replay(file);
      for (const hunk of shuffled(file.hunks, next).slice(0, -1)) {
        replay.make(hunk);
        steps += 1;
        const known = { languageId: "python", lines: replay.lines, edits: replay.recent.edits(replay.lines) };
        const startedAt = performance.now();
        const [first] = predict(known);
        askedMs += performance.now() - startedAt;
        if (first) ruled[replay.judged(first)] += 1;
        for (const kind of ["rename", "name", "part", "lines"] as const) {
          const [alone] = predict(known, { ...none, [kind]: -9 });
          if (alone) count(byEvidence, alone, replay.judged(alone));
        }
        if (predict(known, any).some((each) => replay.isRight(each))) reachable += 1;
      }
    }
  }
  expect(steps).toBeGreaterThan(0);
  const share = (part: number, all: number) => `${((100 * part) / all).toFixed(1)} %`;
  const cells = ({ right, nearer, wrong }: Counts) => {
    const all = right + nearer + wrong;
    return [`${all}`, share(right, all), share(nearer, all), share(wrong, all)];
  };
  const proposed = ruled.right + ruled.nearer + ruled.wrong;
  console.log(`${history.length} files, ${steps} edits with more to come, ${(askedMs / steps).toFixed(2)} ms each`);
  console.log(`of ${reachable} edits after which some rule finds a right one, proposed ${share(ruled.right, reachable)}`);
  // For the docs: `... | python ../benchmarks/last_runs.py --table next_edit`.
  const rows = [
    ["which", "proposals", "right", "nearer", "wrong"],
    Array(5).fill("---"),
    [`all, after ${share(proposed, steps)} of ${steps.toLocaleString("en")} edits`, ...cells(ruled)],
    ...[...byEvidence].sort().flatMap(([name, each]) => (/support [1-9]/.test(name) ? [[name, ...cells(each)]] : [])),
  ];
  console.log(rows.map((row) => `| ${row.join(" | ")} |`).join("\n"));
});

function count(counts: Map<string, Counts>, proposal: Proposal, judged: keyof Counts): void {
  const name = `${proposal.evidence.kind}, support ${Math.min(4, support(proposal))}`;
  const each = counts.get(name) ?? { right: 0, nearer: 0, wrong: 0 };
  each[judged] += 1;
  counts.set(name, each);
}
