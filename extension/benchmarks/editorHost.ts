/** As much of VS Code as completion asks for: documents, the active editor and their events.
 *
 * The benchmarks of completion are bundled with this module in the place of `vscode`. Nothing here
 * knows of completion, and nothing is answered that an editor with default settings would not answer.
 */

type Listener<T> = (value: T) => void;

export class Disposable {
  constructor(private readonly end: () => void) {}
  static from(...all: { dispose: () => void }[]): Disposable {
    return new Disposable(() => all.forEach((each) => each.dispose()));
  }
  dispose(): void {
    this.end();
  }
}

export class EventEmitter<T> {
  private readonly listeners = new Set<Listener<T>>();
  readonly event = (listener: Listener<T>): Disposable => {
    this.listeners.add(listener);
    return new Disposable(() => this.listeners.delete(listener));
  };
  fire(value: T): void {
    for (const each of [...this.listeners]) each(value);
  }
  dispose(): void {
    this.listeners.clear();
  }
}

export class CancellationTokenSource {
  private readonly cancelled = new EventEmitter<void>();
  readonly token = { isCancellationRequested: false, onCancellationRequested: this.cancelled.event };
  cancel(): void {
    if (this.token.isCancellationRequested) return;
    this.token.isCancellationRequested = true;
    this.cancelled.fire();
  }
}

export class Position {
  constructor(
    readonly line: number,
    readonly character: number,
  ) {}
}

export class Range {
  constructor(
    readonly start: Position,
    readonly end: Position,
  ) {}
}

export class Uri {
  readonly query = "";
  readonly fragment = "";
  private constructor(
    readonly scheme: string,
    readonly path: string,
  ) {}
  static parse(text: string): Uri {
    const { protocol, pathname } = new URL(text);
    return new Uri(protocol.slice(0, -1), pathname);
  }
  static joinPath(base: Uri, ...parts: string[]): Uri {
    return new Uri(base.scheme, [base.path.replace(/\/$/, ""), ...parts].join("/"));
  }
  with(changes: { scheme?: string; path?: string }): Uri {
    return new Uri(changes.scheme ?? this.scheme, changes.path ?? this.path);
  }
  toString(): string {
    return `${this.scheme}://${this.path}`;
  }
}

export class ThemeColor {
  constructor(readonly id: string) {}
}

export class InlineCompletionItem {
  constructor(
    readonly insertText: string,
    readonly range?: Range,
    readonly command?: { command: string; arguments?: unknown[] },
  ) {}
}

export const InlineCompletionTriggerKind = { Invoke: 0, Automatic: 1 };
export const NotebookCellKind = { Markup: 1, Code: 2 };
export const LogLevel = { Off: 0, Trace: 1, Debug: 2, Info: 3, Warning: 4, Error: 5 };

/** A document whose lines can be read one by one, as VS Code's can. */
export class Document {
  readonly isClosed = false;
  isDirty = false;
  version = 1;
  private lines: string[];
  constructor(
    readonly uri: Uri,
    readonly languageId: string,
    text: string,
  ) {
    this.lines = text.split("\n");
  }
  get lineCount(): number {
    return this.lines.length;
  }
  lineAt(at: number | Position): { text: string; range: Range } {
    const line = typeof at === "number" ? at : at.line;
    const text = this.lines[line] ?? "";
    return { text, range: new Range(new Position(line, 0), new Position(line, text.length)) };
  }
  offsetAt({ line, character }: Position): number {
    return this.lines.slice(0, line).reduce((sum, each) => sum + each.length + 1, character);
  }
  getText(): string {
    return this.lines.join("\n");
  }
  /** Puts `text` in the place of `range`. */
  replace({ start, end }: Range, text: string): void {
    const before = this.lineAt(start.line).text.slice(0, start.character);
    const after = this.lineAt(end.line).text.slice(end.character);
    this.lines.splice(start.line, end.line - start.line + 1, ...(before + text + after).split("\n"));
    this.version += 1;
    this.isDirty = true;
  }
}

interface Editor {
  readonly document: Document;
  selection: { active: Position };
  readonly options: { tabSize: number };
}

const activeEditor = new EventEmitter<Editor | undefined>();
const changed = new EventEmitter<unknown>();
const selected = new EventEmitter<unknown>();
const saved = new EventEmitter<Document>();
const never = new EventEmitter<never>();
export const runnable = new Map<string, (...args: never[]) => unknown>();

export const window = {
  activeTextEditor: undefined as Editor | undefined,
  get visibleTextEditors(): Editor[] {
    return window.activeTextEditor ? [window.activeTextEditor] : [];
  },
  onDidChangeActiveTextEditor: activeEditor.event,
  onDidChangeTextEditorSelection: selected.event,
  onDidChangeWindowState: never.event,
  createTextEditorDecorationType: () => new Disposable(() => {}),
  showQuickPick: async () => undefined,
  showTextDocument: async () => undefined,
};
/** The user's settings; the defaults where there are none. */
export const configured: Record<string, unknown> = {};
export const workspace = {
  onDidChangeTextDocument: changed.event,
  onDidSaveTextDocument: saved.event,
  onDidCloseTextDocument: never.event,
  onDidDeleteFiles: never.event,
  onDidChangeConfiguration: never.event,
  notebookDocuments: [],
  getWorkspaceFolder: () => undefined,
  getConfiguration: () => ({ get: (name: string, otherwise?: unknown) => configured[name] ?? otherwise }),
  createFileSystemWatcher: () => ({
    onDidChange: never.event,
    onDidCreate: never.event,
    onDidDelete: never.event,
    dispose: () => {},
  }),
  registerTextDocumentContentProvider: () => new Disposable(() => {}),
  openTextDocument: async () => undefined,
  fs: {
    stat: () => Promise.reject(new Error("no such file")),
    readFile: () => Promise.reject(new Error("no such file")),
  },
};
/** The provider that completion has registered. */
export const registered: { inline?: unknown } = {};
export const languages = {
  match: () => 0,
  registerInlineCompletionItemProvider: (_selector: unknown, provider: unknown) => {
    registered.inline = provider;
    return new Disposable(() => {});
  },
  registerDocumentPasteEditProvider: () => new Disposable(() => {}),
};
export const commands = {
  registerCommand: (id: string, run: (...args: never[]) => unknown) => {
    runnable.set(id, run);
    return new Disposable(() => runnable.delete(id));
  },
  executeCommand: async (id: string, ...args: unknown[]) => runnable.get(id)?.(...(args as never[])),
};
export const extensions = { getExtension: () => undefined };
export const authentication = { onDidChangeSessions: never.event, getAccounts: async () => [] };
export const l10n = {
  t: (text: string, ...values: unknown[]) => text.replace(/\{(\d)\}/g, (_, at: string) => String(values[Number(at)])),
};

/** Shows a document with the cursor at a place. */
export function show(document: Document, active: Position): void {
  if (window.activeTextEditor?.document === document) return select(active);
  window.activeTextEditor = { document, selection: { active }, options: { tabSize: 4 } };
  activeEditor.fire(window.activeTextEditor);
}

/** Puts the cursor somewhere in the active document. */
export function select(active: Position): void {
  if (!window.activeTextEditor) return;
  window.activeTextEditor.selection = { active };
  reportSelection(window.activeTextEditor);
}

/** Changes the active document as a key or an accepted suggestion does; the cursor follows. */
export function change(range: Range, text: string): void {
  const editor = window.activeTextEditor;
  if (!editor) return;
  const { document } = editor;
  const rangeOffset = 0;
  const isEmpty = range.start.line === range.end.line && range.start.character === range.end.character;
  const rangeLength = isEmpty ? 0 : document.offsetAt(range.end) - document.offsetAt(range.start);
  document.replace(range, text);
  const lines = text.split("\n");
  const last = lines.at(-1) ?? "";
  const character = lines.length === 1 ? range.start.character + last.length : last.length;
  editor.selection = { active: new Position(range.start.line + lines.length - 1, character) };
  changed.fire({ document, contentChanges: [{ range, rangeOffset, rangeLength, text }] });
  reportSelection(editor);
}

function reportSelection(textEditor: Editor): void {
  selected.fire({ textEditor, selections: [textEditor.selection] });
}

/** Saves the active document. */
export function save(): void {
  const document = window.activeTextEditor?.document;
  if (!document) return;
  document.isDirty = false;
  saved.fire(document);
}
