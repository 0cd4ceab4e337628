/** What each language's text is made of, as far as ghost text must know it: comments, strings, blocks.
 *
 * A scan, not a parser: it knows where comments and strings begin and end, which is enough to ask
 * whether the cursor stands in one and to count brackets. It has two known gaps. A string on one line
 * ends with its line, so a quote in a JavaScript regular expression misleads it for the rest of that
 * line. And a template string's `${}` counts as part of the string.
 */

/** How a language writes comments, strings and blocks. */
export interface Syntax {
  /** What begins a comment that ends with its line. */
  readonly lineComments: readonly string[];
  readonly blockComments: readonly (readonly [string, string])[];
  /** Quotes of strings that end with their line. */
  readonly quotes: readonly string[];
  /** Quotes of strings that may have many lines; asked before `quotes`. */
  readonly longQuotes: readonly string[];
  /** What opens a block: indentation (Python), a brace, a keyword such as `do`, a tag, or nothing (prose). */
  readonly blocks: "indent" | "brace" | "keyword" | "tag" | "prose";
}

/** A comment, a string or a bracket, from `start` to `end` (exclusive; the text's length if unclosed). */
export interface Lexeme {
  readonly kind: "comment" | "string" | "bracket";
  readonly start: number;
  readonly end: number;
  /** Only a comment or string: whether its end was seen. */
  readonly closed: boolean;
}

/** How many characters before the cursor are scanned: a millisecond's work at the very most. */
const SCANNED_CHARS = 24_000;

const C: Syntax = {
  lineComments: ["//"],
  blockComments: [["/*", "*/"]],
  quotes: ['"', "'"],
  longQuotes: [],
  blocks: "brace",
};
const SCRIPT: Syntax = { ...C, longQuotes: ["`"] };
const HASH: Syntax = {
  lineComments: ["#"],
  blockComments: [],
  quotes: ['"', "'"],
  longQuotes: [],
  blocks: "keyword",
};
const TAGS: Syntax = {
  lineComments: [],
  blockComments: [["<!--", "-->"]],
  quotes: [],
  longQuotes: [],
  blocks: "tag",
};
const PYTHON: Syntax = { ...HASH, longQuotes: ['"""', "'''"], blocks: "indent" };
const TRIPLE: Syntax = { ...C, longQuotes: ['"""'] };
/** A lone quote in Rust is a lifetime, so only its double quotes begin strings. */
const RUST: Syntax = { ...C, quotes: [], longQuotes: ['"'] };
const PLAIN: Syntax = { lineComments: [], blockComments: [], quotes: [], longQuotes: [], blocks: "prose" };

/** By VS Code's language identifiers. */
const SYNTAXES: Readonly<Record<string, Syntax>> = {
  python: PYTHON,
  javascript: SCRIPT,
  javascriptreact: SCRIPT,
  typescript: SCRIPT,
  typescriptreact: SCRIPT,
  go: SCRIPT,
  rust: RUST,
  java: TRIPLE,
  kotlin: TRIPLE,
  scala: TRIPLE,
  swift: { ...C, quotes: ['"'], longQuotes: ['"""'] },
  csharp: TRIPLE,
  dart: { ...C, longQuotes: ['"""', "'''"] },
  c: C,
  cpp: C,
  "objective-c": C,
  "objective-cpp": C,
  "cuda-cpp": C,
  zig: { ...C, blockComments: [] },
  groovy: TRIPLE,
  php: { ...C, lineComments: ["//", "#"] },
  css: { ...C, lineComments: [] },
  scss: C,
  less: C,
  json: { ...C, lineComments: [], blockComments: [], quotes: ['"'] },
  jsonc: { ...C, quotes: ['"'] },
  terraform: { ...C, lineComments: ["#", "//"], quotes: ['"'] },
  ruby: { ...HASH, blockComments: [["=begin", "=end"]] },
  shellscript: HASH,
  powershell: { ...HASH, blockComments: [["<#", "#>"]], blocks: "brace" },
  perl: { ...HASH, blocks: "brace" },
  r: { ...HASH, blocks: "brace" },
  julia: { ...HASH, quotes: ['"'], longQuotes: ['"""'], blockComments: [["#=", "=#"]] },
  elixir: { ...HASH, longQuotes: ['"""'] },
  lua: { ...HASH, lineComments: ["--"], blockComments: [["--[[", "]]"]] },
  sql: { ...HASH, lineComments: ["--"], blockComments: [["/*", "*/"]], quotes: ["'", '"'] },
  yaml: { ...HASH, blocks: "indent" },
  dockercompose: { ...HASH, blocks: "indent" },
  toml: { ...HASH, longQuotes: ['"""', "'''"], blocks: "prose" },
  ini: { ...HASH, lineComments: ["#", ";"], quotes: [], blocks: "prose" },
  dockerfile: { ...HASH, blocks: "prose" },
  makefile: { ...HASH, quotes: [], blocks: "prose" },
  html: TAGS,
  xml: TAGS,
  vue: TAGS,
  svelte: TAGS,
  markdown: { ...TAGS, blocks: "prose" },
  plaintext: PLAIN,
};

/** The syntax of a language; of one that is not known, no comments or strings, and braces. */
export function syntaxOf(languageId: string): Syntax {
  return SYNTAXES[languageId] ?? { ...PLAIN, blocks: "brace" };
}

const escaped = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
const patterns = new Map<Syntax, RegExp>();

/** Whatever begins a comment or a string, and every bracket: the longest first. */
function pattern(syntax: Syntax): RegExp {
  const known = patterns.get(syntax);
  if (known) return known;
  const starts = [...syntax.blockComments.map(([open]) => open), ...syntax.longQuotes, ...syntax.quotes];
  starts.push(...syntax.lineComments);
  starts.sort((a, b) => b.length - a.length);
  // `'"'` and `'{'` are characters, not a string's start or a bracket, where quotes are no strings (Rust).
  const characters = syntax === RUST ? ["'(?:\\\\.|[^\\\\'\\n])'"] : [];
  const made = new RegExp([...characters, ...starts.map(escaped), "[()[\\]{}]"].join("|"), "g");
  patterns.set(syntax, made);
  return made;
}

/** Comments, strings and brackets of `text`, in order, as if it began outside all of them. */
export function lexemes(text: string, syntax: Syntax): Lexeme[] {
  const found: Lexeme[] = [];
  const next = pattern(syntax);
  next.lastIndex = 0;
  for (let match = next.exec(text); match; match = next.exec(text)) {
    const lexeme = lexemeAt(text, match.index, match[0], syntax);
    if (lexeme) found.push(lexeme);
    next.lastIndex = Math.max(lexeme?.end ?? 0, match.index + match[0].length);
  }
  return found;
}

function lexemeAt(text: string, start: number, opening: string, syntax: Syntax): Lexeme | undefined {
  if ("()[]{}".includes(opening)) return { kind: "bracket", start, end: start + 1, closed: true };
  const block = syntax.blockComments.find(([open]) => open === opening);
  if (block) return until(text, "comment", start, opening, block[1]);
  if (syntax.longQuotes.includes(opening)) return untilQuote(text, start, opening, text.length);
  if (syntax.quotes.includes(opening)) return untilQuote(text, start, opening, lineEnd(text, start));
  if (!syntax.lineComments.includes(opening)) return undefined; // a character of Rust
  // `$#` and `a#b` are no comments: `#` begins one at the start of a word. Python has no such words.
  if (opening === "#" && syntax !== PYTHON && start > 0 && !/\s/.test(text[start - 1] ?? "")) return undefined;
  const end = lineEnd(text, start);
  return { kind: "comment", start, end, closed: end < text.length };
}

function until(text: string, kind: "comment", start: number, opening: string, closing: string): Lexeme {
  const at = text.indexOf(closing, start + opening.length);
  if (at < 0) return { kind, start, end: text.length, closed: false };
  return { kind, start, end: at + closing.length, closed: true };
}

/** A string up to its closing quote, or to `limit`: a string on one line closes with it. */
function untilQuote(text: string, start: number, quote: string, limit: number): Lexeme {
  let at = text.indexOf(quote, start + quote.length);
  while (at >= 0 && at < limit && isEscaped(text, at)) at = text.indexOf(quote, at + 1);
  if (at >= 0 && at < limit) return { kind: "string", start, end: at + quote.length, closed: true };
  return { kind: "string", start, end: limit, closed: limit < text.length };
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - 1 - slashes] === "\\") slashes += 1;
  return slashes % 2 === 1;
}

function lineEnd(text: string, from: number): number {
  const at = text.indexOf("\n", from);
  return at < 0 ? text.length : at;
}

/** The end of `text` that is scanned, from the start of a line. */
export function scanned(text: string, chars = SCANNED_CHARS): string {
  if (text.length <= chars) return text;
  const cut = text.slice(-chars);
  return cut.slice(cut.indexOf("\n") + 1);
}

/** The comment or string that the end of `prefix` stands in. */
function openAt(prefix: string, languageId: string): "comment" | "string" | undefined {
  const syntax = syntaxOf(languageId);
  const text = scanned(prefix);
  if (text.length < prefix.length && startsInComment(text, syntax)) return "comment";
  const last = lexemes(text, syntax).at(-1);
  return last && last.kind !== "bracket" && !last.closed ? last.kind : undefined;
}

/** Whether a text cut out of a file is all of it within a block comment: nothing closes or opens one,
 * and each of its lines has the star that such lines begin with. */
function startsInComment(text: string, syntax: Syntax): boolean {
  if (!syntax.blockComments.some(([open]) => open === "/*") || text.includes("*/")) return false;
  return text.split("\n").every((line) => /^\s*\*/.test(line) || !line.trim());
}

/** Whether the cursor, which stands at the end of `prefix`, is within a comment. */
export function inComment(prefix: string, languageId: string): boolean {
  return openAt(prefix, languageId) === "comment";
}

/** Whether the cursor, which stands at the end of `prefix`, is within a string. */
export function inString(prefix: string, languageId: string): boolean {
  return openAt(prefix, languageId) === "string";
}
