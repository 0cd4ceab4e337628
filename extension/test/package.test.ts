/** What package.json promises is there. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import manifest from "../package.json";
import texts from "../package.nls.json";
import bundle from "../l10n/bundle.l10n.json";

const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(`src/${name}`, "utf8"))
  .join("\n");

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

/** Words in quotes where what follows is shown to a person. test/l10n.test.ts looks at what really
 * is shown; this sees what no test there has come by. */
function bareTexts(source: string): string[] {
  const words = String.raw`["'\`](?=[^"'\`]*[a-z]{2})[^"'\`]*`;
  const shows = String.raw`\b(?:show\w+Message|EndpointError|Error|MarkdownString|appendText)\(\s*`;
  const second = String.raw`\b(?:ConnectionError|ChatFailure)\(\s*[\w"]+,\s*`;
  const named = String.raw`\b(?:title|prompt|placeHolder|detail|hover|spoken|tooltip|text):\s*`;
  const found = source.matchAll(new RegExp(`(?:${shows}|${second}|${named})${words}`, "g"));
  return [...found].map(([text]) => text);
}

test("no text that a person sees is written bare", () => {
  for (const bare of [
    'throw new EndpointError("it is not a URL");',
    "throw new EndpointError(`${scheme}:// is not http:// or https://`);",
    'throw new ConnectionError(true, "the answer has no body");',
    'throw new ChatFailure("dropped", "the stream ended before the answer did");',
    'await vscode.window.showErrorMessage(\n      "Correct it first.",\n    );',
    'const box = { title: "API key" };',
    'return { ok: false, text: "No model" };',
  ]) {
    expect(bareTexts(bare)).toHaveLength(1);
  }
  expect(bareTexts(sources)).toEqual([]);
});

test("there is one setting, with no default; VS Code's own hidden one keeps its default", () => {
  expect(Object.entries(manifest.contributes.configuration.properties)).toMatchObject([
    ["huggingface.customTGIEndpoint", { default: "" }],
    ["chat.allowAnonymousAccess", { default: false }],
  ]);
});

test("nothing of Node is used: the same bundle runs in the browser", () => {
  expect(sources).not.toMatch(/from "node:|require\(|process\.|Buffer\b/);
  expect(manifest.browser).toBe(manifest.main);
  expect("dependencies" in manifest).toBe(false);
});
