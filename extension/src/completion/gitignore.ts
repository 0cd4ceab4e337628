/** What `.gitignore` files exclude, as Git reads them (https://git-scm.com/docs/gitignore). Pure. */

export interface IgnoreRule {
  readonly matches: RegExp;
  readonly isNegated: boolean;
  readonly isFolderOnly: boolean;
}

/** One `.gitignore`: the folder that it is in, from the root (empty for the root itself). */
export interface IgnoreFile {
  readonly folder: string;
  readonly rules: readonly IgnoreRule[];
}

export function parseIgnore(text: string): IgnoreRule[] {
  return text.split(/\r?\n/).flatMap((line) => rule(line) ?? []);
}

/** Whether the file at `path` (from the root, with forward slashes) is ignored.
 * @param files from the root downwards */
export function isIgnored(path: string, files: readonly IgnoreFile[]): boolean {
  const parts = path.split("/");
  // A file cannot be included again if one of its folders is excluded.
  for (let depth = 1; depth <= parts.length; depth += 1) {
    if (verdict(parts.slice(0, depth).join("/"), depth < parts.length, files)) return true;
  }
  return false;
}

/** The last rule that matches decides. */
function verdict(path: string, isFolder: boolean, files: readonly IgnoreFile[]): boolean {
  let ignored = false;
  for (const { folder, rules } of files) {
    const below = folder === "" ? path : path.startsWith(`${folder}/`) && path.slice(folder.length + 1);
    if (!below) continue;
    for (const { matches, isNegated, isFolderOnly } of rules) {
      if ((isFolder || !isFolderOnly) && matches.test(below)) ignored = !isNegated;
    }
  }
  return ignored;
}

function rule(line: string): IgnoreRule | undefined {
  // A space at the end counts only after a backslash.
  let pattern = line.replace(/(?<!\\)\s+$/, "");
  if (pattern === "" || pattern.startsWith("#")) return undefined;
  const isNegated = pattern.startsWith("!");
  if (isNegated) pattern = pattern.slice(1);
  const isFolderOnly = pattern.endsWith("/");
  if (isFolderOnly) pattern = pattern.slice(0, -1);
  const isAnchored = pattern.includes("/");
  const source = translated(pattern.replace(/^\//, ""));
  try {
    return { matches: new RegExp(`^${isAnchored ? "" : "(?:.*/)?"}${source}$`), isNegated, isFolderOnly };
  } catch {
    // Brackets that Git would not understand either.
    return undefined;
  }
}

const TOKENS = /\\(.)|^\*\*\/|\/\*\*\/|\/\*\*$|\*+|\?|\[(!?)((?:\\.|[^\]\\])+)\]|[\s\S]/g;

function translated(pattern: string): string {
  return pattern.replace(TOKENS, (token, escaped?: string, not?: string, set?: string) => {
    if (escaped !== undefined) return literal(escaped);
    if (token === "**/") return "(?:.*/)?";
    if (token === "/**/") return "/(?:.*/)?";
    if (token === "/**") return "/.*";
    if (token.startsWith("*")) return "[^/]*";
    if (token === "?") return "[^/]";
    if (set !== undefined) return `[${not ? "^/" : ""}${set}]`;
    return literal(token);
  });
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
