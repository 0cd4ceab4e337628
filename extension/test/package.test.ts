/** package.json, its texts and the sources agree. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import manifest from "../package.json";
import texts from "../package.nls.json";
import bundle from "../l10n/bundle.l10n.json";

const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(`src/${name}`, "utf8"))
  .join("\n");

test("every %text% of the manifest exists and is used", () => {
  const used = JSON.stringify(manifest).matchAll(/"%([\w.]+)%"/g);
  expect([...new Set([...used].map(([, name]) => name))].sort()).toEqual(Object.keys(texts).sort());
});

test("every command is registered, and nothing else is", () => {
  const list = /const commands[^{]*\{(.*?)\n {2}\};/s.exec(sources)?.[1] ?? "";
  const registered = [...list.matchAll(/^ {4}(\w+):/gm)].map(([, name]) => `stoker.${name}`);
  registered.push(...[...sources.matchAll(/registerCommand\("([\w.]+)"/g)].map(([, name]) => name ?? ""));
  const declared = manifest.contributes.commands.map(({ command }) => command);
  expect(registered.sort()).toEqual(declared.sort());
});

test("every text that the user sees can be translated", () => {
  const found = [...sources.matchAll(/\bt\(\s*("(?:\\.|[^"\\])*")/g)].map(([, text]) => JSON.parse(text ?? ""));
  expect(found.length).toBeGreaterThan(40);
  expect(Object.keys(bundle).sort()).toEqual([...new Set(found)].sort());
});

/** String literals where a text is shown to the user. test/ui/l10n.test.ts checks what really is shown;
 * this finds what no test there reaches. */
function bareTexts(source: string): string[] {
  const words = String.raw`["'\`](?=[^"'\`]*[a-z]{2})[^"'\`]*`;
  const shows = String.raw`\b(?:show\w+Message|EndpointError|Error|MarkdownString|appendText)\(\s*`;
  const second = String.raw`\b(?:ConnectionError|ChatFailure)\(\s*[\w"]+,\s*`;
  const named = String.raw`\b(?:title|prompt|placeHolder|detail|hover|spoken|tooltip|text):\s*`;
  const found = source.matchAll(new RegExp(`(?:${shows}|${second}|${named})${words}`, "g"));
  return [...found].map(([text]) => text);
}

test("no text that the user sees bypasses translation", () => {
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

test("one setting has to be set; VS Code's own hidden one keeps its default, and completion works with its own", () => {
  const [endpoint, hidden, ...others] = Object.entries(manifest.contributes.configuration.properties);
  expect(endpoint).toMatchObject(["huggingface.customTGIEndpoint", { default: "" }]);
  expect(hidden).toMatchObject(["chat.allowAnonymousAccess", { default: false }]);
  expect(others.filter(([name]) => !/^stoker\.(completion|nextEdit)\./.test(name))).toEqual([]);
});

test("nothing of Node is used, so that the bundle runs in the browser", () => {
  expect(sources).not.toMatch(/from "node:|require\(|process\.|Buffer\b/);
  expect(manifest.browser).toBe(manifest.main);
});

test("every bundled package has its licence in the VSIX", () => {
  const notices = readFileSync("ThirdPartyNotices.txt", "utf8");
  for (const [name, version] of Object.entries(manifest.dependencies)) {
    const licence = readFileSync(`node_modules/${name}/LICENSE`, "utf8");
    expect(notices).toContain(`${name} ${version}\n\n${licence}`);
  }
});
