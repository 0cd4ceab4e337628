/** An editor with the extension's own completion in it, before a real gateway: what both drivers share. */

import type * as vscode from "vscode";
import { Completion } from "../src/completion";
import type { ModelRegistry } from "../src/servers/modelRegistry";
import * as host from "./editorHost";

const log = { trace() {}, debug() {}, info() {}, warn: console.error, error: console.error };

/** What a person did, in the words of completion_positions.py. */
export interface Event {
  readonly kind: "open" | "edit" | "save" | "leave";
  readonly path: string;
  readonly text: string;
  readonly line: number;
}

export class EditorSession {
  readonly completion: Completion;
  private readonly documents = new Map<string, host.Document>();

  constructor(base: string, model: string) {
    host.window.activeTextEditor = undefined;
    const source = { prefix: "", label: "here", server: { base, headers: {} } };
    const registry = {
      infillModels: [{ id: model, source }],
      find: () => undefined,
      onDidChange: new host.EventEmitter<void>().event,
    };
    this.completion = new Completion({
      registry: registry as unknown as ModelRegistry,
      isChatting: () => false,
      log: log as unknown as vscode.LogOutputChannel,
    });
  }

  /** Does what was done. */
  async note({ kind, path, text, line }: Event, languageId: string): Promise<void> {
    const document = this.document(path, languageId, text);
    host.show(document, new host.Position(line, 0));
    if (kind === "edit") this.retype(document, text);
    if (kind === "save") host.save();
    await settled();
  }

  /** Opens a file with the cursor between two texts. */
  async place(path: string, languageId: string, before: string, after: string): Promise<host.Position> {
    const document = this.document(path, languageId, before + after);
    const lines = before.split("\n");
    const cursor = new host.Position(lines.length - 1, lines.at(-1)?.length ?? 0);
    host.show(document, cursor);
    this.retype(document, before + after);
    host.select(cursor);
    await settled();
    return cursor;
  }

  /** The text that VS Code would show at the cursor after a key; undefined where there is none. */
  async ask(
    token: host.CancellationTokenSource["token"],
    isExplicit = false,
  ): Promise<host.InlineCompletionItem | undefined> {
    const { Automatic, Invoke } = host.InlineCompletionTriggerKind;
    const context = { triggerKind: isExplicit ? Invoke : Automatic };
    const editor = host.window.activeTextEditor;
    const provider = host.registered.inline as vscode.InlineCompletionItemProvider;
    const items = await provider.provideInlineCompletionItems(
      editor?.document as unknown as vscode.TextDocument,
      editor?.selection.active as unknown as vscode.Position,
      context as unknown as vscode.InlineCompletionContext,
      token as unknown as vscode.CancellationToken,
    );
    return (items as unknown as host.InlineCompletionItem[])[0];
  }

  dispose(): void {
    this.completion.dispose();
  }

  private document(path: string, languageId: string, text: string): host.Document {
    const uri = host.Uri.parse(`file:///project/${path}`);
    const known = this.documents.get(path);
    if (known) return known;
    const document = new host.Document(uri, languageId, text);
    this.documents.set(path, document);
    return document;
  }

  /** Changes the document to `text`, in one change of the part that differs. */
  private retype(document: host.Document, text: string): void {
    const now = document.getText();
    if (now === text) return;
    let start = 0;
    while (start < now.length && now[start] === text[start]) start += 1;
    let end = 0;
    const most = Math.min(now.length, text.length) - start;
    while (end < most && now[now.length - 1 - end] === text[text.length - 1 - end]) end += 1;
    const range = new host.Range(placeOf(now, start), placeOf(now, now.length - end));
    host.change(range, text.slice(start, text.length - end));
  }
}

function placeOf(text: string, offset: number): host.Position {
  const lines = text.slice(0, offset).split("\n");
  return new host.Position(lines.length - 1, lines.at(-1)?.length ?? 0);
}

/** Lets what was begun by events, and waits for nothing outside, come to its end. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
