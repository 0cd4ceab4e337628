/** The cursor of a VS Code document, with as much text around it as is sent. */

import * as vscode from "vscode";
import { windowAt, type Cursor, type WindowSize } from "./cursor";

const DEFAULT_TAB_SIZE = 4;

/** @param selected the item of the list of suggestions that is selected: the answer must continue it */
export function cursorAt(
  document: vscode.TextDocument,
  position: vscode.Position,
  size: WindowSize,
  selected?: vscode.SelectedCompletionInfo,
): Cursor {
  const at = selected?.range.start ?? position;
  const added = selected?.text ?? "";
  const around = windowAt(document, at, size);
  const { suffix } = selected ? windowAt(document, selected.range.end, size) : around;
  return {
    uri: document.uri.toString(),
    languageId: document.languageId,
    line: at.line,
    character: at.character + added.length,
    prefix: around.prefix + added,
    suffix,
    tabSize: tabSizeOf(document),
    isAhead: selected !== undefined,
  };
}

/** The cells of a notebook before this one, as one text: a cell goes on with what they define.
 * @param mostChars of it, from its end */
export function cellsBefore(
  document: vscode.TextDocument,
  mostChars: number,
): { filename: string; text: string } | undefined {
  const all = vscode.workspace.notebookDocuments;
  const notebook = all.find((each) => each.uri.path === document.uri.path);
  const cells = notebook?.getCells() ?? [];
  const own = cells.findIndex((cell) => cell.document === document);
  const texts: string[] = [];
  let chars = 0;
  for (const cell of cells.slice(0, Math.max(0, own)).reverse()) {
    if (cell.kind !== vscode.NotebookCellKind.Code) continue;
    chars += lengthOf(cell.document);
    if (chars > mostChars) break;
    texts.unshift(cell.document.getText().replaceAll("\r\n", "\n"));
  }
  const filename = document.uri.path.slice(document.uri.path.lastIndexOf("/") + 1);
  return texts.length ? { filename, text: texts.join("\n\n") } : undefined;
}

/** Without making a copy of the text. */
export function lengthOf(document: vscode.TextDocument): number {
  return document.lineCount === 0
    ? 0
    : document.offsetAt(document.lineAt(document.lineCount - 1).range.end);
}

function tabSizeOf(document: vscode.TextDocument): number {
  const editor = vscode.window.visibleTextEditors.find((each) => each.document === document);
  const size = editor?.options.tabSize;
  return typeof size === "number" ? size : DEFAULT_TAB_SIZE;
}
