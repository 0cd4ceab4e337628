/** Imports point one way: ui -> completion -> chat -> servers -> tokens -> api. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";

const LAYERS = ["api", "tokens", "servers", "chat", "completion", "ui"];
const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));

/** Imports of a layer above, and of layers that do not exist. */
function upward(file: string, source: string): string[] {
  const imports = [...source.matchAll(/\bfrom "(\.[^"]+)"/g)].map(([, path]) => join(dirname(file), path ?? ""));
  const rank = (path: string) => LAYERS.indexOf(path.split("/")[0] ?? "");
  return imports.filter((path) => rank(path) === -1 || rank(path) > rank(file));
}

test("an import of a layer above is found", () => {
  expect(upward("tokens/a.ts", 'import { x } from "../api/x";\nimport { y } from "./y";')).toEqual([]);
  expect(upward("tokens/a.ts", 'import type { x } from "../servers/x";')).toEqual(["servers/x"]);
  expect(upward("servers/deep/a.ts", 'import { x } from "../../chat/x";')).toEqual(["chat/x"]);
});

test.each(files.filter((path) => path !== "extension.ts"))("%s imports its own layer or one below", (file) => {
  expect(LAYERS).toContain(file.split("/")[0]);
  expect(upward(file, readFileSync(join("src", file), "utf8"))).toEqual([]);
});

test("no file name is used twice", () => {
  const names = files.map((path) => basename(path));
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});
