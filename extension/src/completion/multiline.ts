/** Where ghost text may have several lines: where the syntax is about to open or fill a block.
 *
 * Anywhere else one line is what a person reads before the next keystroke, and each further line costs
 * the engine time that the next keystroke throws away.
 */

import { indentColumns, lineAbove, lineAfter, lineBefore, linesBelow } from "./lines";
import { lexemes, syntaxOf, type Syntax } from "./syntax";

export interface Cursor {
  readonly prefix: string;
  readonly suffix: string;
  readonly languageId: string;
}

/** Only columns of one line against another's matter here, so any size of a tab will do. */
const TAB = 4;
const PYTHON_HEADER =
  /^(async\s+)?(def|class|if|elif|else|for|while|try|except|finally|with|match|case)\b.*:$/;
const KEYWORD_OPENER = /(\b(do|then|begin|else|repeat)|^(def|class|module|function|local function)\b.*[^;])$/;
const KEYWORD_CLAUSE = /(^|\s)do\s*\|[^|]*\|$/;
const SQL_OPENER = /(\(|\b(begin|as|select|from|values|set|then|else))$/i;
const VOID_TAG = /<(area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b[^>]*>$/i;
const OPENING_TAG = /<[A-Za-z][^<>]*[^/<>-]>$|<[A-Za-z]>$/;
const DOC_COMMENT = /^(\/\*\*|\/\*!|"""|''')$/;
const DECORATOR = /^(@[\w.]+(\(.*\))?|#\[.*\]|\[[A-Z]\w*(\(.*\))?\])$/;

/** Whether a suggestion at the cursor may have several lines. */
export function wantsMultiline(cursor: Cursor): boolean {
  const syntax = syntaxOf(cursor.languageId);
  const before = lineBefore(cursor.prefix);
  const after = lineAfter(cursor.suffix).trim();
  if (!before.trim()) return after === "" && fillsBlock(cursor, syntax, before);
  if (!opensBlock(before, cursor.languageId, syntax)) return false;
  return after === "" || closesWhatOpens(before.trimEnd(), after);
}

/** `{|}` as editors write it, and `<ul>|</ul>`. */
function closesWhatOpens(before: string, after: string): boolean {
  if (before.endsWith("{")) return /^\}[)\];,]*$/.test(after);
  return before.endsWith(">") && /^<\/[\w.-]+>$/.test(after);
}

/** Whether a line ends with something that a block follows. */
function opensBlock(line: string, languageId: string, syntax: Syntax): boolean {
  const text = line.trim();
  if (DOC_COMMENT.test(text)) return true;
  if (languageId === "markdown") return /^(```|~~~)\s*\w+$/.test(text);
  if (endsInComment(text, syntax)) return false;
  if (/[{]$/.test(text)) return syntax.blocks !== "prose";
  if (syntax.blocks === "indent") return languageId === "python" ? PYTHON_HEADER.test(text) : /[:|>][-+]?$/.test(text);
  if (syntax.blocks === "brace") return /=>$/.test(text) || /^(case\b.*|default)\s*:$/.test(text);
  if (syntax.blocks === "tag") return OPENING_TAG.test(text) && !VOID_TAG.test(text);
  if (languageId === "sql") return SQL_OPENER.test(text);
  return syntax.blocks === "keyword" && (KEYWORD_OPENER.test(text) || KEYWORD_CLAUSE.test(text));
}

function endsInComment(text: string, syntax: Syntax): boolean {
  const last = lexemes(text, syntax).at(-1);
  return last?.kind === "comment" && (last.end === text.length || !last.closed);
}

/** Whether the cursor's blank line is a block's empty body, or follows what announces code. */
function fillsBlock({ prefix, suffix, languageId }: Cursor, syntax: Syntax, before: string): boolean {
  const above = lineAbove(prefix);
  if (!above) return false;
  const announced = announces(prefix, above, syntax);
  if (!announced && !opensBlock(above, languageId, syntax)) return false;
  return announced || bodyIsEmpty(above, before, suffix, syntax);
}

/** A comment or a decorator on the line right above. Prose has none: its comments announce nothing. */
function announces(prefix: string, above: string, syntax: Syntax): boolean {
  if (syntax.blocks === "prose" || /\n[ \t]*\r?\n[ \t]*$/.test(prefix)) return false;
  const text = above.trim();
  return DECORATOR.test(text) || isComment(text, syntax);
}

function isComment(text: string, syntax: Syntax): boolean {
  if (syntax.lineComments.some((mark) => text.startsWith(mark) && text.length > mark.length + 2)) return true;
  return syntax.blockComments.some(([, close]) => text.endsWith(close)) && /^([/*(<-]|=end)/.test(text);
}

/** No line below stands deeper than the one that opened the block. */
function bodyIsEmpty(above: string, before: string, suffix: string, syntax: Syntax): boolean {
  const opened = indentColumns(above, TAB);
  const [below] = linesBelow(suffix, 1);
  const inside = indentColumns(before, TAB) > opened || syntax.blocks !== "indent";
  return inside && (below === undefined || indentColumns(below, TAB) <= opened);
}
