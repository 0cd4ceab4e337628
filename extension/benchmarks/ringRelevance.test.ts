/** What the ring's chunks show a model that it could not know otherwise, printed and never judged.
 *
 *     python benchmarks/next_edit_history.py /tmp/history --held-out
 *     NEXT_EDIT_HISTORY=/tmp/history/history.json npm run benchmark -- ringRelevance
 *
 * In real packages: a ring has seen files of one package, and the cursor goes down another of its files
 * line by line. Counted are the names on the cursor's line and the two below that stand nowhere in the
 * text around the cursor: how many of them are in the chunks. Beside it, the latest chunks that fit, in
 * their order, which is how a plain ring chooses. And how often a pick begins as the one before it did,
 * which is what an engine need not read again.
 */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ContextRing, type Picked } from "../src/completion/contextRing";
import { identifiersOf } from "../src/completion/relevance";
import { random } from "../test/support/random";

interface File {
  readonly package: string;
  readonly path: string;
  readonly before: string[];
}

const MAX_CHARS = 6000;
const NOTED = 60;
const LINES_DOWN = 40;
const path = process.env["NEXT_EDIT_HISTORY"] ?? "";

class NamesCovered {
  names = 0;
  covered = 0;
  picks = 0;
  kept = 0;
  private last = "";

  add(wanted: readonly string[], picked: readonly Picked[]): void {
    const known = identifiersOf(picked.map(({ text }) => text).join("\n"));
    this.names += wanted.length;
    this.covered += wanted.filter((name) => known.has(name)).length;
    const prompt = picked.map(({ filename, text }) => `${filename}\n${text}`).join("\n");
    this.picks += 1;
    this.kept += Number(prompt.startsWith(this.last));
    this.last = prompt;
  }
  get text(): string {
    const share = (part: number, all: number) => `${((100 * part) / all).toFixed(1)} %`;
    return `covers ${share(this.covered, this.names)} of ${this.names} names, begins as before in ${share(this.kept, this.picks)}`;
  }
}

test.skipIf(!existsSync(path))("names that the chunks cover", { timeout: 600_000 }, () => {
  const files = (JSON.parse(readFileSync(path, "utf8")) as File[]).filter(({ before }) => before.length > 80);
  const next = random(11);
  const [byNames, latest] = [new NamesCovered(), new NamesCovered()];
  for (const file of files) {
    const others = files.filter((each) => each.package === file.package && each !== file);
    if (others.length < 4) continue;
    const ring = new ContextRing();
    const seen: Picked[] = [];
    for (let note = 0; note < NOTED; note += 1) {
      const other = others[Math.floor(next() * others.length)] as File;
      const line = Math.floor(next() * other.before.length);
      ring.note({ uri: `file:///${other.path}`, languageId: "python", text: other.before.join("\n"), kind: "opened", line });
      const start = Math.max(0, line - 24);
      seen.push({ filename: other.path, text: other.before.slice(start, start + 48).join("\n") });
    }
    const start = 20 + Math.floor(next() * (file.before.length - 70));
    for (let at = start; at < start + LINES_DOWN && at + 3 < file.before.length; at += 1) {
      const prefix = `${file.before.slice(0, at).join("\n").slice(-4000)}\n`;
      const suffix = `\n${file.before.slice(at + 3).join("\n").slice(0, 1000)}`;
      const around = identifiersOf(prefix + suffix);
      const wanted = [...identifiersOf(file.before.slice(at, at + 3).join("\n"))].filter((name) => !around.has(name));
      byNames.add(wanted, ring.pick({ uri: file.path, languageId: "python", prefix, suffix, maxChars: MAX_CHARS }));
      latest.add(wanted, latestOf(seen));
    }
  }
  expect(byNames.picks).toBeGreaterThan(0);
  console.log(`by shared names: ${byNames.text}`);
  console.log(`the latest: ${latest.text}`);
});

function latestOf(seen: readonly Picked[]): Picked[] {
  const chosen: Picked[] = [];
  let room = MAX_CHARS;
  for (const chunk of seen.toReversed()) {
    room -= chunk.text.length + chunk.filename.length + 2;
    if (room < 0) break;
    chosen.unshift(chunk);
  }
  return chosen;
}
