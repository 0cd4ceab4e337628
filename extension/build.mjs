// Bundles the extension; with --vsix also packages it. The same sources give the same bytes.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const target = join(root, "../src/stoker/vscode/stoker.vsix");

await build({
  absWorkingDir: root,
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.js",
  bundle: true,
  minify: true,
  format: "cjs",
  platform: "neutral",
  target: "es2022",
  external: ["vscode"],
  logLevel: "warning",
});

if (process.argv.includes("--vsix")) {
  writeFileSync(join(root, "l10n/bundle.l10n.json"), `${JSON.stringify(texts(), null, 2)}\n`);
  writeFileSync(join(root, "dist/sources.sha256"), `${hashOfSources()}\n`);
  // vsce stamps every file in the archive with this time.
  process.env.SOURCE_DATE_EPOCH = "1735689600";
  mkdirSync(dirname(target), { recursive: true });
  const { createVSIX } = await import("@vscode/vsce");
  await createVSIX({
    cwd: root,
    packagePath: target,
    dependencies: false,
    allowMissingRepository: true,
  });
  console.log(createHash("sha256").update(readFileSync(target)).digest("hex"), target);
}

/** Every text that the user may see, for translators, who add bundle.l10n.LANGUAGE.json beside it. */
function texts() {
  const sources = filesIn("src").map((name) => readFileSync(join(root, name), "utf8"));
  const found = sources.flatMap((source) => [...source.matchAll(/\bt\(\s*("(?:\\.|[^"\\])*")/g)]);
  const keys = [...new Set(found.map(([, literal]) => JSON.parse(literal)))].sort();
  return Object.fromEntries(keys.map((key) => [key, key]));
}

/** Identifies the sources of a VSIX; tests/unit/vscode/test_vsix.py computes the same. */
function hashOfSources() {
  const files = [
    ...["src", "media", "l10n"].flatMap(filesIn),
    ...readdirSync(root).filter((name) => /^package.*\.json$|^README\.md$|^build\.mjs$/.test(name)),
    ".vscodeignore",
  ];
  const hash = createHash("sha256");
  for (const file of files.sort()) {
    hash.update(`${file}\0`).update(readFileSync(join(root, file))).update("\0");
  }
  return hash.digest("hex");
}

/** The paths of all files below `folder`, from the extension's root. */
function filesIn(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/"));
}
