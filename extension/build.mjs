// Bundles the extension; with --vsix, packages it too, the same bytes from the same sources.
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
  // vsce gives every file in the archive this time.
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

/** Every text that a person may see, for translators: bundle.l10n.LANGUAGE.json lies beside it. */
function texts() {
  const sources = readdirSync(join(root, "src")).map((name) => readFileSync(join(root, "src", name), "utf8"));
  const found = sources.flatMap((source) => [...source.matchAll(/\bt\(\s*("(?:\\.|[^"\\])*")/g)]);
  const keys = [...new Set(found.map(([, literal]) => JSON.parse(literal)))].sort();
  return Object.fromEntries(keys.map((key) => [key, key]));
}

/** Says which sources a VSIX was made from; tests/unit/test_vsix.py computes the same. */
function hashOfSources() {
  const folders = ["src", "media", "l10n"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/")),
  );
  const files = [
    ...folders,
    ...readdirSync(root).filter((name) => /^package.*\.json$|^README\.md$|^build\.mjs$/.test(name)),
    ".vscodeignore",
  ];
  const hash = createHash("sha256");
  for (const file of files.sort()) {
    hash.update(`${file}\0`).update(readFileSync(join(root, file))).update("\0");
  }
  return hash.digest("hex");
}
