/** An editor of VS Code with one document, for unit tests: it changes, draws and tells of it. */

import { Disposable, EventEmitter, l10n, Position, ThemeColor } from "./fakeVscode";

export { Disposable, l10n, Position, ThemeColor };

export enum EndOfLine {
  LF = 1,
  CRLF = 2,
}
export enum TextEditorRevealType {
  InCenterIfOutsideViewport = 2,
}
export class Range {
  readonly start: Position;
  readonly end: Position;
  constructor(a: Position | number, b: Position | number, line?: number, character?: number) {
    this.start = typeof a === "number" ? new Position(a, b as number) : a;
    this.end = typeof b === "number" ? new Position(line ?? 0, character ?? 0) : b;
  }
  get isEmpty(): boolean {
    return this.start.line === this.end.line && this.start.character === this.end.character;
  }
}
export class Selection extends Range {
  get active(): Position {
    return this.end;
  }
}

const changes = new EventEmitter<unknown>();
const activeEditors = new EventEmitter<unknown>();
const configurations = new EventEmitter<{ affectsConfiguration: (section: string) => boolean }>();
export const registered = new Map<string, () => unknown>();
export const context = new Map<string, unknown>();

export const commands = {
  registerCommand: (name: string, run: () => unknown) => {
    registered.set(name, run);
    return { dispose: () => registered.delete(name) };
  },
  executeCommand: async (_: string, key: string, value: unknown) => void context.set(key, value),
};
export const workspace = {
  onDidChangeTextDocument: changes.event,
  onDidChangeConfiguration: configurations.event,
  asRelativePath: () => "src/file.py",
};
export const configurationChanges = () => configurations.fire({ affectsConfiguration: () => true });

interface Decoration {
  readonly range: Range;
  readonly renderOptions?: { readonly after: { readonly contentText: string } };
}

export class Editor {
  version = 1;
  selection = new Selection(0, 0, 0, 0);
  visibleRanges: Range[];
  readonly drawn = new Map<object, Decoration[]>();
  readonly document: object;

  constructor(
    public text: string,
    readonly eol = EndOfLine.LF,
    visible = [0, 100],
  ) {
    const editor = this;
    this.visibleRanges = [new Range(visible[0] ?? 0, 0, visible[1] ?? 0, 0)];
    this.document = {
      languageId: "python",
      eol,
      getText: () => editor.text,
      lineAt: (line: number) => editor.lineAt(line),
      get version() {
        return editor.version;
      },
      get lineCount() {
        return editor.lines.length;
      },
    };
  }

  get lines(): string[] {
    return this.text.split(/\r?\n/);
  }

  /** What a person reads: the text that is struck out, and what is drawn beside. */
  get seen(): { gone: string[]; come: string[] } {
    const all = [...this.drawn.values()].flat();
    const struck = all.filter(({ renderOptions }) => !renderOptions);
    return {
      gone: struck.map(({ range }) => this.offsets(range)).map(([start, end]) => this.text.slice(start, end)),
      come: all.flatMap(({ renderOptions }) => renderOptions?.after.contentText.replaceAll("\u00A0", " ") ?? []),
    };
  }

  setDecorations(type: object, decorations: Decoration[]): void {
    this.drawn.set(type, decorations);
  }

  revealRange({ start }: Range): void {
    this.visibleRanges = [new Range(start.line - 5, 0, start.line + 5, 0)];
  }

  /** A person types over `old`. */
  type(old: string, text: string): void {
    const at = this.text.indexOf(old);
    const position = (offset: number) => {
      const before = this.text.slice(0, offset).split("\n");
      return new Position(before.length - 1, before.at(-1)?.length ?? 0);
    };
    this.replace(new Range(position(at), position(at + old.length)), text);
  }

  async edit(make: (builder: { replace: (range: Range, text: string) => void }) => void): Promise<boolean> {
    make({ replace: (range, text) => this.replace(range, text) });
    return true;
  }

  private replace(range: Range, text: string): void {
    const [start, end] = this.offsets(range);
    this.text = this.text.slice(0, start) + text + this.text.slice(end);
    this.version += 1;
    changes.fire({ document: this.document, contentChanges: [{ range, text }] });
  }

  private offsets({ start, end }: Range): [number, number] {
    const starts = [0, ...[...this.text.matchAll(/\n/g)].map(({ index }) => index + 1)];
    return [(starts[start.line] ?? 0) + start.character, (starts[end.line] ?? this.text.length) + end.character];
  }

  private lineAt(line: number): object {
    const text = this.lines[line] ?? "";
    const range = new Range(line, 0, line, text.length);
    return { text, range, firstNonWhitespaceCharacterIndex: text.search(/\S|$/) };
  }
}

export const window = {
  activeTextEditor: undefined as Editor | undefined,
  onDidChangeActiveTextEditor: activeEditors.event,
  createTextEditorDecorationType: () => ({ dispose: () => {} }),
};

/** The person goes to this editor. */
export function activates(editor: Editor | undefined): void {
  window.activeTextEditor = editor;
  activeEditors.fire(editor);
}
