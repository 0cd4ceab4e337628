/** The parts of other files that go with a request: chosen while the editor is idle, and the same from key to key.
 *
 * It stands before the text of the file in the prompt. If it changed with every key, the engine would
 * have to read the whole prompt again each time. */

import * as vscode from "vscode";
import { ContextRing } from "./contextRing";
import type { Cursor, Extra } from "./cursor";
import { cellsBefore, lengthOf } from "./documentCursor";

/** A larger file is not written by people. */
const MOST_CHARS = 500_000;
/** After the last key in a place, it counts as edited. */
const EDITED_MS = 1500;

export interface Chosen {
  readonly uri: string;
  readonly extras: readonly Extra[];
  /** Nothing was chosen for the document before. */
  readonly isFirst?: boolean;
}

const NONE: Chosen = { uri: "", extras: [] };

type Kind = Parameters<ContextRing["note"]>[0]["kind"];

export class OtherFiles implements vscode.Disposable {
  private readonly subscriptions: vscode.Disposable;
  private ring = new ContextRing();
  private chosen = NONE;
  private editedTimer: ReturnType<typeof setTimeout> | undefined;

  /** @param maySend whether a document's text may go to a server */
  constructor(private readonly maySend: (document: vscode.TextDocument) => Promise<boolean>) {
    const { workspace, window } = vscode;
    this.subscriptions = vscode.Disposable.from(
      window.onDidChangeActiveTextEditor((editor) => {
        if (editor) void this.note(editor.document, "opened", editor.selection.active.line);
      }),
      workspace.onDidSaveTextDocument((document) => void this.note(document, "saved", lineIn(document))),
      workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        const line = contentChanges[0]?.range.start.line;
        if (line !== undefined) this.edited(document, line);
      }),
      workspace.onDidDeleteFiles(({ files }) => {
        for (const uri of files) this.ring.forget(uri.toString());
      }),
      this.watchCopies(),
    );
    const editor = window.activeTextEditor;
    if (editor) void this.note(editor.document, "opened", editor.selection.active.line);
  }

  /** What goes with a request for the document. It changes with `choose` alone, and with another document. */
  of(uri: string): readonly Extra[] {
    return this.chosen.uri === uri ? this.chosen.extras : [];
  }

  /** What would best go with requests for the document now; undefined where it does already. */
  better(document: vscode.TextDocument, cursor: Cursor, maxChars: number): Chosen | undefined {
    const cells = cellsBefore(document, maxChars);
    const { uri, languageId, prefix, suffix } = cursor;
    const room = Math.max(0, maxChars - (cells?.text.length ?? 0));
    const picked = this.ring.pick({ uri, languageId, prefix, suffix, maxChars: room });
    const chosen = { uri, extras: cells ? [...picked, cells] : picked, isFirst: this.chosen.uri !== uri };
    return JSON.stringify(chosen.extras) === JSON.stringify(this.of(uri)) && !chosen.isFirst ? undefined : chosen;
  }

  /** From now on, requests for the document begin with these. */
  choose({ uri, extras }: Chosen): void {
    this.chosen = { uri, extras };
  }

  /** Drops all of it: what may be sent has changed. */
  forget(): void {
    this.ring = new ContextRing();
    this.chosen = NONE;
  }

  dispose(): void {
    clearTimeout(this.editedTimer);
    this.subscriptions.dispose();
  }

  private edited(document: vscode.TextDocument, line: number): void {
    clearTimeout(this.editedTimer);
    this.editedTimer = setTimeout(() => void this.note(document, "edited", line), EDITED_MS);
  }

  private async note(document: vscode.TextDocument, kind: Kind, line: number): Promise<void> {
    if (document.isClosed || lengthOf(document) > MOST_CHARS) return;
    const uri = document.uri.toString();
    if (!(await this.maySend(document))) return this.ring.forget(uri);
    const text = document.getText().replaceAll("\r\n", "\n");
    this.ring.note({ uri, languageId: document.languageId, text, kind, line });
  }

  /** VS Code names what is copied to the providers of pasted text. This one adds nothing to it. */
  private watchCopies(): vscode.Disposable {
    const prepareDocumentPaste = (document: vscode.TextDocument, ranges: readonly vscode.Range[]) => {
      const line = ranges[0]?.start.line;
      if (line !== undefined) void this.note(document, "copied", line);
    };
    const none = { providedPasteEditKinds: [], copyMimeTypes: ["text/plain"] };
    return vscode.languages.registerDocumentPasteEditProvider({ pattern: "**" }, { prepareDocumentPaste }, none);
  }
}

function lineIn(document: vscode.TextDocument): number {
  const editor = vscode.window.visibleTextEditors.find((each) => each.document === document);
  return editor?.selection.active.line ?? 0;
}
