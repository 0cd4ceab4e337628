/** Where a suggestion is wanted: the text on both sides of the cursor, with LF as the only line end. */

export interface Extra {
  readonly filename: string;
  readonly text: string;
}

export interface Cursor {
  readonly uri: string;
  readonly languageId: string;
  /** Zero-based, as VS Code counts them. */
  readonly line: number;
  /** UTF-16 units before the cursor in its line. */
  readonly character: number;
  readonly prefix: string;
  readonly suffix: string;
  readonly tabSize: number;
  /** The prefix ends with an item of the list of suggestions, which is not in the document yet. */
  readonly isAhead?: boolean;
}

/** How many UTF-16 units each side may have. */
export interface WindowSize {
  readonly prefixChars: number;
  readonly suffixChars: number;
}

/** What of a document is read. Never the whole of it: a key press in a file of 1 MB costs the same. */
export interface Lines {
  readonly lineCount: number;
  lineAt(line: number): { readonly text: string };
}

export interface Place {
  readonly line: number;
  readonly character: number;
}

/** The prefix begins at a multiple of this many lines (in one long line, of characters): were it
 * to move with every new line, the engine would have to read all of it again. */
const LINE_STEP = 32;
const CHAR_STEP = 512;

/** The text around `at`, cut on the far sides. */
export function windowAt(
  document: Lines,
  at: Place,
  { prefixChars, suffixChars }: WindowSize,
): Pick<Cursor, "prefix" | "suffix"> {
  const { text } = document.lineAt(at.line);
  return {
    prefix: prefixAt(document, at, text, prefixChars),
    suffix: suffixAt(document, at, text, suffixChars),
  };
}

function prefixAt(document: Lines, at: Place, line: string, most: number): string {
  const overflow = at.character - most;
  if (overflow > 0) {
    const start = Math.ceil(overflow / CHAR_STEP) * CHAR_STEP;
    return withoutHalfPair(line.slice(Math.min(start, at.character), at.character));
  }
  let first = at.line;
  for (let chars = at.character; first > 0; first -= 1) {
    chars += document.lineAt(first - 1).text.length + 1;
    if (chars > most) break;
  }
  // A window that is smaller than one step moves with the cursor after all.
  const aligned = Math.ceil(first / LINE_STEP) * LINE_STEP;
  const start = aligned <= at.line ? aligned : first;
  const lines: string[] = [];
  for (let each = start; each < at.line; each += 1) lines.push(document.lineAt(each).text);
  return [...lines, line.slice(0, at.character)].join("\n");
}

function suffixAt(document: Lines, at: Place, line: string, most: number): string {
  const rest = line.slice(at.character, at.character + most);
  if (rest.length < line.length - at.character) return withoutHalfPair(rest);
  const lines = [rest];
  let chars = rest.length;
  for (let each = at.line + 1; each < document.lineCount; each += 1) {
    const { text } = document.lineAt(each);
    chars += text.length + 1;
    if (chars > most) break;
    lines.push(text);
  }
  return lines.join("\n");
}

/** `text` without half of a surrogate pair at either end, where the cut went through one. */
function withoutHalfPair(text: string): string {
  return text.replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, "");
}

/** Whether the text is something that no one types: a zero byte, or many control characters. */
export function looksBinary({ prefix, suffix }: Pick<Cursor, "prefix" | "suffix">): boolean {
  const text = prefix.slice(-2000) + suffix.slice(0, 500);
  if (text.includes("\0")) return true;
  const odd = text.match(/[\x01-\x08\x0e-\x1f\x7f\ufffd]/g)?.length ?? 0;
  return odd > 4 && odd > text.length / 50;
}
