/** The provider of inline suggestions that VS Code asks after each key. */

import * as vscode from "vscode";
import type { CompletionGate } from "./completionGate";
import type { CompletionSettings } from "./completionSettings";
import { looksBinary, type Cursor, type WindowSize } from "./cursor";
import { cursorAt } from "./documentCursor";
import { wantsMultiline } from "./multiline";
import type { Spot, Suggestions, Wish } from "./suggestions";
import { inComment } from "./syntax";

/** Run by VS Code when a suggestion is accepted; not in the palette. */
export const ACCEPTED = "stoker.completion.accepted";

interface Parts {
  readonly gate: CompletionGate;
  readonly settings: CompletionSettings;
  readonly suggestions: Suggestions;
  readonly window: () => WindowSize;
}

export class CompletionProvider implements vscode.InlineCompletionItemProvider {
  constructor(private readonly parts: Parts) {}

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[]> {
    const off = await this.parts.gate.off(document);
    if (off !== undefined && off !== "noModel") return [];
    const selected = context.selectedCompletionInfo;
    const cursor = cursorAt(document, position, this.parts.window(), selected);
    const isExplicit = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    if (looksBinary(cursor) || this.isUnwanted(document, cursor, isExplicit)) return [];
    if (off === "noModel" || token.isCancellationRequested) {
      this.parts.suggestions.unanswered(spotOf(document, position));
      return [];
    }
    const text = await this.text(cursor, { isExplicit, multiline: this.multiline(document, cursor) }, token);
    if (text === undefined) return [];
    const range = selected?.range ?? new vscode.Range(position, position);
    return [item((selected?.text ?? "") + text, range, document)];
  }

  /** Begins the request for what follows a suggestion that was just accepted. */
  async accepted(document: vscode.TextDocument, end: vscode.Position): Promise<void> {
    if (!(await this.parts.gate.isOpen(document))) return;
    const cursor = cursorAt(document, end, this.parts.window());
    if (looksBinary(cursor) || this.isUnwanted(document, cursor, false)) return;
    this.parts.suggestions.ahead(cursor, this.multiline(document, cursor));
  }

  private async text(
    cursor: Cursor,
    wish: Wish,
    token: vscode.CancellationToken,
  ): Promise<string | undefined> {
    const stale = new AbortController();
    const subscription = token.onCancellationRequested(() => stale.abort());
    try {
      return await this.parts.suggestions.suggest(cursor, wish, stale.signal);
    } finally {
      subscription.dispose();
    }
  }

  private isUnwanted(document: vscode.TextDocument, cursor: Cursor, isExplicit: boolean): boolean {
    if (isExplicit || this.parts.settings.of(document).inComments) return false;
    return inComment(cursor.prefix, cursor.languageId);
  }

  private multiline(document: vscode.TextDocument, cursor: Cursor): boolean {
    return this.parts.settings.of(document).multiline && wantsMultiline(cursor);
  }
}

function spotOf({ uri }: vscode.TextDocument, { line, character }: vscode.Position): Spot {
  return { uri: uri.toString(), line, character };
}

function item(
  text: string,
  range: vscode.Range,
  document: vscode.TextDocument,
): vscode.InlineCompletionItem {
  const end = endOf(range.start, text);
  const args = [document.uri.toString(), end.line, end.character];
  return new vscode.InlineCompletionItem(text, range, { command: ACCEPTED, title: "", arguments: args });
}

/** Where the cursor is once `text` is inserted at `start`. */
function endOf(start: vscode.Position, text: string): vscode.Position {
  const lines = text.split("\n");
  const last = lines.at(-1) ?? "";
  const isOneLine = lines.length === 1;
  return new vscode.Position(
    start.line + lines.length - 1,
    isOneLine ? start.character + last.length : last.length,
  );
}
