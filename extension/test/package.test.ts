/** What package.json promises is there. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import manifest from "../package.json";
import texts from "../package.nls.json";
import bundle from "../l10n/bundle.l10n.json";

const sources = readdirSync("src").map((name) => readFileSync(`src/${name}`, "utf8")).join("\n");

test("every %text% of the manifest is there, and no text is left over", () => {
  const used = JSON.stringify(manifest).matchAll(/"%([\w.]+)%"/g);
  expect([...new Set([...used].map(([, name]) => name))].sort()).toEqual(Object.keys(texts).sort());
});

test("every command is registered, and nothing else is", () => {
  const list = /const commands[^{]*\{(.*?)\n {2}\};/s.exec(sources)?.[1] ?? "";
  const registered = [...list.matchAll(/^ {4}(\w+):/gm)].map(([, name]) => `stoker.${name}`);
  const declared = manifest.contributes.commands.map(({ command }) => command);
  expect(registered.sort()).toEqual(declared.sort());
});

test("every text that a person sees can be translated", () => {
  const found = [...sources.matchAll(/\bt\(\s*("(?:\\.|[^"\\])*")/g)].map(([, text]) => JSON.parse(text ?? ""));
  expect(found.length).toBeGreaterThan(40);
  expect(Object.keys(bundle).sort()).toEqual([...new Set(found)].sort());
});

test("there is one setting, with no default", () => {
  expect(Object.entries(manifest.contributes.configuration.properties)).toMatchObject([
    ["huggingface.customTGIEndpoint", { default: "" }],
  ]);
});

test("nothing of Node is used: the same bundle runs in the browser", () => {
  expect(sources).not.toMatch(/from "node:|require\(|process\.|Buffer\b/);
  expect(manifest.browser).toBe(manifest.main);
  expect("dependencies" in manifest).toBe(false);
});
