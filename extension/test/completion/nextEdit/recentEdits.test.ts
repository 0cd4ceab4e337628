/** A person's edits in a file, as small diffs. */
import { expect, test } from "vitest";
import { linesOf, RecentEdits, type Change } from "../../../src/completion/nextEdit/recentEdits";
import { random } from "../../support/random";

/** A file that changes, as VS Code tells of it. */
class Document {
  readonly recent: RecentEdits;
  constructor(private text: string) {
    this.recent = new RecentEdits(text);
  }
  get lines(): string[] {
    return linesOf(this.text);
  }
  /** `old`, at its first place, becomes `now`. */
  replace(old: string, now: string): this {
    const at = this.text.indexOf(old);
    const line = (end: number) => this.text.slice(0, end).split("\n").length - 1;
    const change: Change = { startLine: line(at), endLine: line(at + old.length), text: now };
    this.text = this.text.slice(0, at) + now + this.text.slice(at + old.length);
    this.recent.change(change);
    return this;
  }
  get edits() {
    return this.recent.edits(this.lines);
  }
}

test("a word typed key by key is one edit", () => {
  const document = new Document("a = 1\nb = 2\nc = 3");
  document.replace("b = 2", "b = 2x").replace("2x", "2xy").replace("2xy", "twenty");
  expect(document.edits).toEqual([{ line: 1, before: ["b = 2"], after: ["b = twenty"] }]);
});

test("two places are two edits, the latest last, wherever they stand", () => {
  const document = new Document("one\ntwo\nthree\nfour\nfive").replace("five", "5").replace("one", "1");
  expect(document.edits).toEqual([
    { line: 4, before: ["five"], after: ["5"] },
    { line: 0, before: ["one"], after: ["1"] },
  ]);
});

test("lines that come or go above move an edit", () => {
  const document = new Document("one\ntwo\nthree\nfour").replace("four", "4").replace("one\n", "zero\nhalf\none\n");
  expect(document.edits[0]).toEqual({ line: 5, before: ["four"], after: ["4"] });
  document.replace("zero\nhalf\n", "");
  expect(document.edits).toEqual([{ line: 3, before: ["four"], after: ["4"] }]);
});

test("lines that were taken away are an edit without lines", () => {
  const document = new Document("one\ntwo\nthree\nfour").replace("two\nthree\n", "");
  expect(document.edits).toEqual([{ line: 1, before: ["two", "three"], after: [] }]);
});

test("what was undone is no edit", () => {
  expect(new Document("one\ntwo").replace("two", "2").replace("2", "two").edits).toEqual([]);
});

test("edits that grow together become one", () => {
  const document = new Document("1\n2\n3\n4\n5").replace("1", "one").replace("4", "four").replace("2\n3", "two\nthree");
  expect(document.edits).toEqual([{ line: 0, before: ["1", "2", "3", "4"], after: ["one", "two", "three", "four"] }]);
});

test("a large paste is nothing to repeat, and the oldest of many are forgotten", () => {
  expect(new Document("a").replace("a", "line\n".repeat(100)).edits).toEqual([]);
  const many = Array.from({ length: 60 }, (_, at) => `line ${at}`).join("\n\n");
  const document = new Document(many);
  for (let at = 0; at < 20; at += 1) document.replace(`line ${at * 2}\n`, `changed ${at * 2}\n`);
  expect(document.edits).toHaveLength(12);
  expect(document.edits[0]?.after).toEqual(["changed 16"]);
});

test("whatever is changed, the edits undone give the text from before", () => {
  const next = random(3);
  for (let round = 0; round < 300; round += 1) {
    const before = Array.from({ length: 12 }, (_, at) => `${at}`);
    const now = [...before];
    const recent = new RecentEdits(before.join("\n"));
    for (let times = 0; times < 5; times += 1) {
      const startLine = Math.floor(next() * now.length);
      const endLine = Math.min(now.length - 1, startLine + Math.floor(next() * 3));
      const lines = Array.from({ length: 1 + Math.floor(next() * 3) }, () => `new ${Math.floor(next() * 9)}`);
      now.splice(startLine, endLine - startLine + 1, ...lines);
      recent.change({ startLine, endLine, text: lines.join("\n") });
    }
    const undone = [...now];
    const edits = recent.edits(now).sort((a, b) => b.line - a.line);
    for (const { line, before: old, after } of edits) undone.splice(line, after.length, ...old);
    expect(undone).toEqual(before);
  }
});
