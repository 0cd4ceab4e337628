/** What the ring keeps, and what of it a request gets. */
import { expect, test } from "vitest";
import { ContextRing } from "../../src/completion/contextRing";

const lines = (count: number, line: (at: number) => string) => Array.from({ length: count }, (_, at) => line(at)).join("\n");
const unlike = (seed: string) => lines(40, (at) => `const ${seed}${at} = make_${seed}(${at});`);
const ask = { uri: "file:///p/now.py", languageId: "python", prefix: "", suffix: "", maxChars: 10_000 };

function ringOf(files: Record<string, string>, options = {}): ContextRing {
  const ring = new ContextRing(options);
  for (const [name, text] of Object.entries(files)) note(ring, name, text);
  return ring;
}

function note(ring: ContextRing, name: string, text: string, line = 0): void {
  ring.note({ uri: `file:///p/${name}`, languageId: "python", text, kind: "edited", line });
}

const names = (ring: ContextRing, prefix: string, more = {}) => ring.pick({ ...ask, prefix, ...more }).map((each) => each.filename);

test("a chunk that shares names with the lines at the cursor is picked, another is not", () => {
  const ring = ringOf({ "shapes.py": "class Circle:\n    def area(self):\n        pass", "net.py": "def download(url):\n    pass" });
  expect(ring.pick({ ...ask, prefix: "circle = Circle(3)\nprint(" })).toEqual([
    { filename: "p/shapes.py", text: "class Circle:\n    def area(self):\n        pass" },
  ]);
});

test("a name that few chunks have counts for more than one that most have", () => {
  const ring = ringOf({ "a.py": "logger = 1\nalpha = 2", "b.py": "logger = 1\nbeta = 3", "c.py": "logger = 1\nrarely = 4" });
  expect(names(ring, "logger(rarely)\n").at(-1)).toBe("p/c.py");
});

test("the best of several stands last, next to the code", () => {
  const ring = ringOf({ "one.py": "alpha = 1\nnothing_else = 2", "two.py": "alpha = 1\nbeta = 2" });
  expect(names(ring, "alpha(beta)\n")).toEqual(["p/one.py", "p/two.py"]);
});

test("typing on a line changes nothing, whatever names it has", () => {
  const ring = ringOf({ "one.py": "alpha = 1\nother = 2", "two.py": "beta = 1\nmore = 2" });
  const before = names(ring, "alpha()\n");
  for (const typed of ["b", "be", "beta", "beta(", "beta(more"]) {
    expect(names(ring, `alpha()\n${typed}`)).toEqual(before);
  }
});

test("what was picked stays in its place while others come and the cursor goes on", () => {
  const ring = ringOf({ "one.py": "alpha = 1\nother = 2", "two.py": "beta = 1\nmore = 2" });
  expect(names(ring, "alpha()\n")).toEqual(["p/one.py"]);
  expect(names(ring, "alpha()\nbeta(more)\n")).toEqual(["p/one.py", "p/two.py"]);
  note(ring, "three.py", "alpha = 1\nother = 3\nbeta = 3");
  expect(names(ring, "alpha()\nbeta(more)\nother()\n").slice(0, 2)).toEqual(["p/one.py", "p/two.py"]);
});

test("going back to another file finds its picks in their order", () => {
  const ring = ringOf({ "one.py": "alpha = 1\nother = 2", "two.py": "beta = 1\nmore = 2" });
  names(ring, "alpha()\n");
  const first = names(ring, "alpha()\nbeta(more)\n");
  names(ring, "beta(more)\n", { uri: "file:///p/elsewhere.py" });
  expect(names(ring, "alpha()\nbeta(more)\n")).toEqual(first);
});

test("what stands around the cursor is not sent twice, from this file or a copy of it", () => {
  const text = unlike("here");
  const ring = ringOf({ "now.py": text, "copy.py": `${text}\n# a copy` });
  expect(names(ring, `${text}\n`)).toEqual([]);
  expect(names(ring, "make_here(here3)\n")).toEqual(["p/copy.py"]);
});

test("another part of the same file is sent", () => {
  const ring = new ContextRing();
  const text = `${unlike("top")}\n${lines(80, (at) => `pad${at}()`)}\n${unlike("end")}`;
  note(ring, "now.py", text, 0);
  expect(names(ring, "make_top(top1)\nuse(top2)\n")).toEqual(["p/now.py"]);
});

test("a chunk that says nearly the same takes the older one's place", () => {
  const ring = ringOf({ "a.py": unlike("x") });
  const alone = ring.bytes;
  note(ring, "b.py", unlike("x").replace("x7", "y7"));
  expect(ring.bytes).toBe(alone);
  note(ring, "c.py", unlike("z"));
  expect(ring.bytes).toBeGreaterThan(alone * 1.9);
});

test("two looks at one place make one chunk, with the newest text", () => {
  const ring = ringOf({ "a.py": "alpha = 1\nfirst = 2" });
  note(ring, "a.py", "alpha = 1\nsecond = 3\nthird = 4\nfourth = 5", 2);
  expect(ring.pick({ ...ask, prefix: "alpha()\n" }).map((each) => each.text)).toEqual(["alpha = 1\nsecond = 3\nthird = 4\nfourth = 5"]);
});

test("the oldest go when the memory is full, and nothing is larger than it", () => {
  const ring = ringOf({ "old.py": unlike("old") });
  const small = ringOf({ "old.py": unlike("old") }, { maxBytes: ring.bytes * 1.5 });
  note(small, "new.py", unlike("new"));
  expect(small.bytes).toBeLessThanOrEqual(ring.bytes * 1.5);
  expect(names(small, "make_old(old1)\nmake_new(new1)\n")).toEqual(["p/new.py"]);
  const none = ringOf({ "old.py": unlike("old") }, { maxBytes: 100 });
  expect(none.bytes).toBe(0);
});

test("a thousand places of many files stay far below ten megabytes", () => {
  const ring = new ContextRing();
  for (let at = 0; at < 1000; at += 1) note(ring, `f${at}.py`, unlike(`n${at}_`));
  expect(ring.bytes).toBeLessThanOrEqual(1_000_000);
  expect(ring.bytes).toBeGreaterThan(500_000);
});

test("no more characters than asked for", () => {
  const ring = ringOf({ "a.py": unlike("alpha"), "b.py": unlike("beta") });
  const prefix = "make_alpha(1)\nmake_beta(2)\n";
  const all = ring.pick({ ...ask, prefix }).map((each) => each.text.length + each.filename.length);
  expect(all).toHaveLength(2);
  for (const maxChars of [0, 100, Math.max(...all) + 2, 3000]) {
    const chars = ring.pick({ ...ask, prefix, maxChars }).map((each) => each.text.length + each.filename.length);
    expect(chars.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(maxChars);
  }
});

test("a file that is forgotten is gone, and white space, data and minified code never come in", () => {
  const ring = ringOf({ "a.py": "alpha = 1\nbeta = 2", "blank.py": "\n\n  \n", "bin.py": "alpha\0beta", "min.js": "alpha();".repeat(2000) });
  expect(names(ring, "alpha()\n")).toEqual(["p/a.py"]);
  ring.forget("file:///p/a.py");
  expect(ring.bytes).toBe(0);
  expect(names(ring, "alpha()\n")).toEqual([]);
});

test("the name that a model is shown is the end of the path, without what is private before it", () => {
  const ring = new ContextRing();
  const uri = "vscode-remote://ssh-remote%2Bhost/home/someone/work/app/src/my%20file.py?x#y";
  ring.note({ uri, languageId: "python", text: "alpha = 1\nbeta = 2", kind: "opened", line: 0 });
  expect(names(ring, "alpha()\n")).toEqual(["app/src/my file.py"]);
});
