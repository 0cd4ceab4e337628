/** What `.gitignore` excludes, as Git itself decides (checked against git 2.x). */
import { expect, test } from "vitest";
import { isIgnored, parseIgnore } from "../../src/completion/gitignore";

const root = (...lines: string[]) => [{ folder: "", rules: parseIgnore(lines.join("\n")) }];

test.each([
  ["a name", "build", "build/a.js"],
  ["a name at any depth", "build", "packages/x/build/a.js"],
  ["a pattern", "*.log", "logs/today.log"],
  ["a folder", "dist/", "dist/a.js"],
  ["from the root", "/dist", "dist/a.js"],
  ["a path", "docs/private", "docs/private/a.md"],
  ["two stars in front", "**/temp", "a/b/temp"],
  ["two stars between", "a/**/z", "a/b/c/z"],
  ["two stars between, for nothing", "a/**/z", "a/z"],
  ["two stars at the end", "a/**", "a/b/c"],
  ["one character", "?.tmp", "x.tmp"],
  ["a set", "[ab].txt", "b.txt"],
  ["a set that is turned round", "[!a].txt", "b.txt"],
  ["an escaped mark", "\\#notes", "#notes"],
  ["an escaped star", "a\\*", "a*"],
  ["spaces at the end", "build   ", "build/a"],
  ["a line that ends with CR", "build\r", "build/a"],
])("%s: %s excludes %s", (_, line, path) => {
  expect(isIgnored(path, root(line))).toBe(true);
});

test.each([
  ["a comment", "# build", "build"],
  ["an empty line", "", "a"],
  ["another name", "build", "builder/a"],
  ["a folder's pattern for a file", "dist/", "dist"],
  ["a root's pattern deeper down", "/dist", "packages/dist/a"],
  ["a path's pattern deeper down", "docs/private", "x/docs/private"],
  ["a star across folders", "a/*", "b/a/c"],
  ["brackets that are not closed", "[a", "a"],
])("%s: %s does not exclude %s", (_, line, path) => {
  expect(isIgnored(path, root(line))).toBe(false);
});

test("the last rule that matches decides", () => {
  const files = root("*.env", "!example.env");
  expect(isIgnored("example.env", files)).toBe(false);
  expect(isIgnored("production.env", files)).toBe(true);
});

test("a file cannot be included again below an excluded folder", () => {
  expect(isIgnored("build/keep.js", root("build/", "!build/keep.js"))).toBe(true);
});

test("a file deeper down overrules one above, for its own folder only", () => {
  const files = [...root("*.txt"), { folder: "docs", rules: parseIgnore("!*.txt\n/drafts") }];
  expect(isIgnored("a.txt", files)).toBe(true);
  expect(isIgnored("docs/a.txt", files)).toBe(false);
  expect(isIgnored("docs/drafts/a.md", files)).toBe(true);
  expect(isIgnored("drafts/a.md", files)).toBe(false);
});
