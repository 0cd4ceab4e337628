/** Makes what a model wrote fit the place that it was asked for, or drops it.
 *
 * A model does not know where to stop: it goes on into what already follows the cursor, closes brackets
 * that the editor has closed, leaves the block, or repeats itself. Each step here cuts one of these, from
 * the start of the text to its end. None adds to what the model wrote, but for a line's end before a brace
 * that follows the cursor. All work with "\n"; the file's own line ends are put in last.
 */

import { cutAtClosedBracket } from "./brackets";
import { indentColumns, indentOf, lineAbove, lineAfter, lineBefore, linesBelow } from "./lines";
import { cutAtBelow, cutRestOfLine } from "./overlap";
import { firstAndRepeated } from "./repeatedLines";
import { cutRepetition } from "./repetition";
import { syntaxOf } from "./syntax";

export interface Place {
  /** The text before the cursor, or its last part, from the start of a line. */
  readonly prefix: string;
  /** The text after the cursor, or its first part. */
  readonly suffix: string;
  readonly languageId: string;
  /** Whether more than one line is wanted here: `wantsMultiline`. */
  readonly multiline: boolean;
  /** Whether one line may be followed by others that the file has in this order. */
  readonly repeats?: boolean;
  /** Whether the model ended by itself; false where its tokens ran out. */
  readonly finished: boolean;
  /** Columns of a tab. */
  readonly tabSize: number;
}

/** Tokens that some servers write out as text: whatever follows one is not for the file. */
const CONTROL_TOKEN = /<\|(endoftext|end_of_text|file_sep|file_separator|repo_name|im_end|im_start|fim_\w+|cursor)\|>|<\/?s>$|<EOT>/;
/** A line that goes on with a block whose indentation it has fallen back to. */
const CONTINUES_BLOCK = /^([)\]}]|end\b|<\/|else\b|elif\b|except\b|finally\b|catch\b|rescue\b|ensure\b|fi\b|done\b|esac\b)/;
/** A line that stands before what it belongs to, at the same indentation. */
const LEADS_ON = /^(@|#|\/\/|\/\*|\*|--|<!--|export default$)/;
const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;
/** What opens a comment of several lines: the lines that follow stand as deep as it does. */
const DOC_COMMENT = /^("""|''')/;
/** If this much of the line before the cursor is written again, it is a repetition and not chance. */
const LINE_CHARS = 8;

/** The text to show at the cursor, or undefined where nothing of `raw` is worth it. */
export function postProcess(raw: string, cursor: Place): string | undefined {
  const [prefix, suffix] = [cursor.prefix.replaceAll("\r\n", "\n"), cursor.suffix.replaceAll("\r\n", "\n")];
  const place = { ...cursor, prefix, suffix };
  const steps = [cutControlTokens, oneEnd, cutRepeatedLine, cutHalf, fitIndentation, cutBlock, cutRepetition];
  let text = raw;
  for (const step of [...steps, cutAtBelow, cutAtClosedBracket, cutRestOfLine, trim]) text = step(text, place);
  if (!text.trim() || repeatsLineAbove(text, place)) return undefined;
  text = endLineBeforeRest(text, place);
  return usesCrlf(cursor) ? text.replaceAll("\n", "\r\n") : text;
}

function usesCrlf({ prefix, suffix }: Place): boolean {
  return prefix.includes("\r\n") || suffix.includes("\r\n");
}

function cutControlTokens(text: string): string {
  const at = text.search(CONTROL_TOKEN);
  return at < 0 ? text : text.slice(0, at);
}

/** One kind of line ends, and no half of a surrogate pair, which no file can hold. */
function oneEnd(text: string): string {
  return text.replaceAll("\r", "").replace(LONE_SURROGATE, "");
}

/** The line up to the cursor written once more, or only its last spaces. */
function cutRepeatedLine(text: string, { prefix }: Place): string {
  const line = lineBefore(prefix);
  const written = line.trimStart();
  if (written.trim().length >= LINE_CHARS && text.trimStart().startsWith(written)) {
    return text.trimStart().slice(written.length);
  }
  return written && /\s$/.test(line) ? text.replace(/^[ \t]+/, "") : text;
}

/** The lines that are wanted, without the half token or half line of an answer that was cut short. */
function cutHalf(text: string, { prefix, suffix, multiline, repeats, finished }: Place): string {
  const end = text.indexOf("\n");
  if (!multiline && end >= 0) {
    const lines = text.split("\n").slice(0, finished ? undefined : -1);
    return repeats ? firstAndRepeated(lines, { prefix, suffix }) : text.slice(0, end);
  }
  if (finished) return text;
  if (end >= 0) return text.slice(0, text.lastIndexOf("\n"));
  return text.replace(/[\p{L}\p{N}_$\uFFFD]+$/u, "");
}

/** Tabs where the file has tabs and spaces where it has spaces; no indentation twice. */
function fitIndentation(text: string, { prefix, tabSize }: Place): string {
  const line = lineBefore(prefix);
  const [first = "", ...rest] = text.split("\n");
  const head = !line.trim() && hasItsIndentation(line, prefix, tabSize) ? first.trimStart() : first;
  const tabs = indentStyle(prefix);
  const fitted = tabs === undefined ? rest : rest.map((each) => withIndent(each, tabs, tabSize));
  return [head, ...fitted].join("\n");
}

/** Whether a blank line up to the cursor is indented as its text will be: deeper than an opened block. */
function hasItsIndentation(line: string, prefix: string, tabSize: number): boolean {
  if (!line) return false;
  const above = lineAbove(prefix);
  return !/[:{([]$/.test(above) || indentColumns(line, tabSize) > indentColumns(above, tabSize);
}

/** Whether the file indents with tabs: the nearest indented line shows it; undefined without one. */
function indentStyle(prefix: string): boolean | undefined {
  const near = prefix.slice(-4000).split("\n").reverse();
  const indented = near.find((line) => /^(\t| {2})/.test(line));
  return indented === undefined ? undefined : indented.startsWith("\t");
}

function withIndent(line: string, tabs: boolean, tabSize: number): string {
  const indent = indentOf(line);
  if (!indent.includes(tabs ? " " : "\t")) return line;
  const columns = indentColumns(line, tabSize);
  const made = tabs ? "\t".repeat(columns / tabSize) + " ".repeat(columns % tabSize) : " ".repeat(columns);
  return made + line.slice(indent.length);
}

/** The block ends where its indentation falls below the cursor's; lines that the file has in this order
 * may leave it as they did there. */
function cutBlock(text: string, { prefix, languageId, multiline, tabSize }: Place): string {
  if (!multiline) return text;
  if (syntaxOf(languageId).blocks === "prose") return text;
  const lines = text.split("\n");
  const line = lineBefore(prefix);
  const start = line.trim() || !lines[0]?.trim() ? line : line + (lines[0] ?? "");
  const base = indentColumns(start, tabSize);
  const opens = line.trim() !== "" && !DOC_COMMENT.test(line.trim());
  const end = lines.findIndex((each, at) => at > 0 && each.trim() && leaves(each, at, lines, base, opens, tabSize));
  return end < 0 ? text : lines.slice(0, end).join("\n");
}

/** Whether the line at `at` is no longer of the block, whose lines stand at column `base` or deeper. */
function leaves(line: string, at: number, lines: string[], base: number, opens: boolean, tabSize: number): boolean {
  const columns = indentColumns(line, tabSize);
  if (columns < base) return true;
  if (columns > base || CONTINUES_BLOCK.test(line.trim())) return false;
  if (opens) return true;
  // On the outermost level one definition is enough: the next line at its column begins another.
  const deeper = lines.slice(1, at).some((each) => indentColumns(each, tabSize) > base);
  return base === 0 && deeper && !LEADS_ON.test(lines[at - 1]?.trim() || "-");
}

/** White space at a line's end, and a character of which the model wrote half. */
function trim(text: string, { suffix }: Place): string {
  const whole = text.replace(/[ \t]+(?=\n)/g, "").replace(/\uFFFD+$/, "");
  return lineAfter(suffix).trim() && !whole.includes("\n") ? whole : whole.replace(/[\s\uFFFD]+$/, "");
}

/** Several lines between `{` and `}` end with a line's end, so that the brace stands on its own line. */
function endLineBeforeRest(text: string, { prefix, suffix }: Place): string {
  if (!text.includes("\n") || !lineAfter(suffix).trim()) return text;
  return `${text}\n${indentOf(lineBefore(prefix))}`;
}

/** The line above or the one below, once more. */
function repeatsLineAbove(text: string, { prefix, suffix }: Place): boolean {
  const [first = ""] = text.split("\n");
  const line = (lineBefore(prefix) + first + lineAfter(suffix)).trim();
  if (!/[\p{L}\p{N}].*[\p{L}\p{N}]/u.test(line) || line.length < 6) return false;
  return line === lineAbove(prefix).trim() || line === linesBelow(suffix, 1)[0]?.trim();
}
