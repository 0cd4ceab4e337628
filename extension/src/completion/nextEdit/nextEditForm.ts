/** How next-edit models are asked: one row for each form, with its source. Pure.
 *
 * Such a model reads what was changed last and the lines around the cursor, and writes these lines again.
 */

import type { Edit } from "./recentEdits";

export interface Question {
  /** The file's, below the folder that is open, with slashes. */
  readonly path: string;
  /** The text now. */
  readonly lines: readonly string[];
  /** The latest last. */
  readonly edits: readonly Edit[];
  /** Where the person is, from 0. */
  readonly cursorLine: number;
}

/** What is sent, and the lines that the model writes again. */
export interface Asked {
  readonly prompt: string;
  readonly stop: readonly string[];
  /** The first of `current` in the file, from 0. */
  readonly line: number;
  readonly current: readonly string[];
  /** What stood there before the latest edit. */
  readonly original: readonly string[];
}

export interface NextEditForm {
  readonly name: string;
  /** The ids of the models that have it. Their vocabulary is that of the model they were made from. */
  readonly models: RegExp;
  /** Where its publisher, or an editor that asks it, has the form. */
  readonly source: string;
  /** Undefined where the text itself has one of the marks. */
  readonly ask: (question: Question) => Asked | undefined;
}

/** Sweep's own numbers, in Zed's `sweep_prompt.rs`. */
const LINES_AROUND = 10;
const EDITS_SENT = 3;
/** Unified diffs have as many lines around a change. */
const CONTEXT_LINES = 3;
/** Engines read a mark in a prompt as a token of its own, in a person's text too. */
const MARK = /<\|\w+\|>|<\/?(s|tool_call)>/;

export const FORMS: readonly NextEditForm[] = [
  {
    name: "sweep",
    // The 7B of version 2 has another form, with no source but its model card's script.
    models: /sweep-next-edit(?!-v2)/i,
    source:
      "https://github.com/sweepai/vscode-nes/blob/9bce2d776b4070ceff548e4b10b381f3cc701053/src/local/completions.ts, and with recent edits " +
      "https://github.com/zed-industries/zed/blob/24e24d84ea0b7406810cb5a00d5a6ecc8c6d3e88/crates/edit_prediction/src/sweep_prompt.rs",
    ask: askSweep,
  },
];

/** The form of a model with this id; undefined where it is none that predicts edits. */
export function formOf(id: string): NextEditForm | undefined {
  return FORMS.find(({ models }) => models.test(id));
}

function askSweep({ path, lines, edits, cursorLine }: Question): Asked | undefined {
  const line = Math.max(0, cursorLine - LINES_AROUND);
  const current = withoutLastEnd(lines, line, cursorLine + LINES_AROUND + 1);
  const original = beforeLatest(lines, edits.at(-1), line, current);
  const blocks = [
    ...edits.slice(-EDITS_SENT).map((edit) => [`${path}.diff`, ...changed(lines, edit)]),
    [`original/${path}`, ...original],
    [`current/${path}`, ...current],
  ].map((block) => block.join("\n"));
  if (blocks.some((block) => MARK.test(block))) return undefined;
  const prompt = [...blocks, `updated/${path}`].map((block) => `<|file_sep|>${block}\n`).join("");
  return { prompt, stop: ["<|file_sep|>", "</s>", "<|endoftext|>"], line, current, original };
}

/** Lines of the file; an end of line at its end is not a line. */
function withoutLastEnd(lines: readonly string[], from: number, to: number): readonly string[] {
  const last = lines.at(-1) === "" ? lines.length - 1 : lines.length;
  return lines.slice(from, Math.min(to, last));
}

function beforeLatest(lines: readonly string[], latest: Edit | undefined, line: number, current: readonly string[]): readonly string[] {
  if (!latest) return current;
  const end = line + current.length;
  const [from, to] = [latest.line, latest.line + latest.after.length];
  const isBeside = latest.after.length > 0 && (from >= end || to <= line);
  if (isBeside || from > end || to < line) return current;
  return [...lines.slice(line, Math.max(line, from)), ...latest.before, ...lines.slice(Math.min(end, to), end)];
}

function changed(lines: readonly string[], { line, before, after }: Edit): string[] {
  const above = lines.slice(Math.max(0, line - CONTEXT_LINES), line);
  const end = line + after.length;
  const below = withoutLastEnd(lines, end, end + CONTEXT_LINES);
  return ["original:", ...above, ...before, ...below, "updated:", ...above, ...after, ...below];
}
