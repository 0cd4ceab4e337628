/** Shows the edit that follows, and makes it when the person accepts it.
 *
 * VS Code's stable inline completions must begin and end on one line and stand at the cursor; an inline
 * edit elsewhere is proposed API. So the edit is drawn: what goes is struck out, what comes stands beside
 * it. Tab goes there or, where it is in sight, makes it; Escape drops it. What the edits themselves show
 * comes first, since that was measured; then what a next-edit model proposes, where one is served.
 */

import * as vscode from "vscode";
import type { Question } from "./nextEditForm";
import { predict, type Replacement } from "./predict";
import { linesOf, RecentEdits, type Edit } from "./recentEdits";
import { smallDiff } from "./smallDiff";

export interface NextEditParts {
  readonly isOn: () => boolean;
  /** Whether suggestions are made in a document. */
  readonly isOpen: (document: vscode.TextDocument) => Promise<boolean>;
  /** Asks the model, where one is served. */
  readonly ask: (question: Question, signal: AbortSignal) => Promise<readonly Replacement[]>;
}

/** A person who types on is not to be shown something with each key. */
const PAUSE_MS = 400;
/** A larger file is not written by people. */
const MOST_CHARS = 500_000;
const MOST_SHOWN_CHARS = 200;
/** While true, Tab and Escape are the proposal's: `package.json` binds them. */
const VISIBLE = "stoker.nextEditVisible";

interface Shown {
  readonly editor: vscode.TextEditor;
  readonly proposal: Replacement;
  readonly version: number;
}

/** Follows the active editor until it is disposed of. */
export function registerNextEdit(parts: NextEditParts): vscode.Disposable {
  return new NextEdits(parts);
}

class NextEdits implements vscode.Disposable {
  private readonly gone = vscode.window.createTextEditorDecorationType({
    backgroundColor: new vscode.ThemeColor("diffEditor.removedTextBackground"),
    textDecoration: "line-through",
  });
  private readonly come = vscode.window.createTextEditorDecorationType({});
  private readonly subscriptions: vscode.Disposable;
  private followed: { document: vscode.TextDocument; recent: RecentEdits } | undefined;
  private shown: Shown | undefined;
  /** What the person does not want in this document, by the old and new lines. */
  private readonly dropped = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking: AbortController | undefined;

  constructor(private readonly parts: NextEditParts) {
    const { commands, window, workspace } = vscode;
    this.subscriptions = vscode.Disposable.from(
      commands.registerCommand("stoker.nextEdit.accept", () => this.accept()),
      commands.registerCommand("stoker.nextEdit.dismiss", () => this.dismiss()),
      window.onDidChangeActiveTextEditor(() => this.follow()),
      workspace.onDidChangeTextDocument((event) => this.changed(event)),
      workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("stoker.completion.nextEdit")) this.restart();
      }),
    );
    this.follow();
  }

  dispose(): void {
    this.hide();
    for (const part of [this.subscriptions, this.gone, this.come]) part.dispose();
  }

  private restart(): void {
    this.followed = undefined;
    this.follow();
  }

  private follow(): void {
    this.hide();
    const document = vscode.window.activeTextEditor?.document;
    if (document && document === this.followed?.document) return;
    this.followed = undefined;
    this.dropped.clear();
    if (!document || !this.parts.isOn()) return;
    const text = document.getText();
    if (text.length <= MOST_CHARS) this.followed = { document, recent: new RecentEdits(text) };
  }

  private changed({ document, contentChanges }: vscode.TextDocumentChangeEvent): void {
    if (document !== this.followed?.document || !contentChanges.length) return;
    this.hide();
    for (const { range, text } of contentChanges) {
      this.followed.recent.change({ startLine: range.start.line, endLine: range.end.line, text });
    }
    if (this.parts.isOn()) this.timer = setTimeout(() => void this.propose(), PAUSE_MS);
  }

  private async propose(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const { followed } = this;
    if (!editor || editor.document !== followed?.document) return;
    const { version } = editor.document;
    // Meanwhile the person may type, go to another file, or switch next edits off.
    const isStill = () =>
      this.followed === followed && vscode.window.activeTextEditor === editor && editor.document.version === version;
    if (!(await this.parts.isOpen(editor.document)) || !isStill()) return;
    const lines = linesOf(editor.document.getText());
    const edits = followed.recent.edits(lines);
    const isWanted = (each: Replacement) => !this.dropped.has(keyOf(each, lines));
    const known = predict({ languageId: editor.document.languageId, lines, edits }).find(isWanted);
    const proposal = known ?? (edits.length ? (await this.ask(editor, lines, edits)).find(isWanted) : undefined);
    if (proposal && isStill()) this.show({ editor, proposal, version });
  }

  /** Aborted as soon as the text changes or another file is looked at. */
  private ask(editor: vscode.TextEditor, lines: readonly string[], edits: readonly Edit[]): Promise<readonly Replacement[]> {
    this.asking = new AbortController();
    const path = vscode.workspace.asRelativePath(editor.document.uri, false);
    const cursorLine = editor.selection.active.line;
    return this.parts.ask({ path, lines, edits, cursorLine }, this.asking.signal);
  }

  private show(shown: Shown): void {
    this.shown = shown;
    this.draw(shown, isInSight(shown) ? [] : [hintAt(shown.editor, shown.proposal)]);
    void vscode.commands.executeCommand("setContext", VISIBLE, true);
  }

  private draw({ editor, proposal }: Shown, hint: vscode.DecorationOptions[]): void {
    const { gone, come } = drawing(editor.document, proposal);
    editor.setDecorations(this.gone, gone);
    editor.setDecorations(this.come, [...come, ...hint]);
  }

  private hide(): void {
    clearTimeout(this.timer);
    this.asking?.abort();
    if (!this.shown) return;
    this.shown.editor.setDecorations(this.gone, []);
    this.shown.editor.setDecorations(this.come, []);
    this.shown = undefined;
    void vscode.commands.executeCommand("setContext", VISIBLE, false);
  }

  /** Goes to the edit, or makes it where it is in sight. */
  private async accept(): Promise<void> {
    const { shown } = this;
    if (!shown || shown.editor.document.version !== shown.version) return this.hide();
    const { editor, proposal } = shown;
    const range = rangeOf(editor.document, proposal);
    if (!isInSight(shown)) {
      editor.selection = new vscode.Selection(range.start, range.start);
      editor.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
      this.draw(shown, []);
      return;
    }
    this.hide();
    const eol = editor.document.eol === vscode.EndOfLine.CRLF ? "\r\n" : "\n";
    const text = proposal.lines.join(eol);
    if (await editor.edit((edit) => edit.replace(range, text))) {
      const end = editor.document.lineAt(Math.min(proposal.line, editor.document.lineCount - 1)).range.end;
      editor.selection = new vscode.Selection(end, end);
    }
  }

  private dismiss(): void {
    if (this.shown) this.dropped.add(keyOf(this.shown.proposal, linesOf(this.shown.editor.document.getText())));
    this.hide();
  }
}

function keyOf({ line, endLine, lines }: Replacement, text: readonly string[]): string {
  return JSON.stringify([text.slice(line, endLine), lines]);
}

function isInSight({ editor, proposal }: Shown): boolean {
  return editor.visibleRanges.some(({ start, end }) => start.line <= proposal.line && proposal.line <= end.line);
}

/** The lines that are replaced. Where none come, a line's end goes with them. */
function rangeOf(document: vscode.TextDocument, { line, endLine, lines }: Replacement): vscode.Range {
  const last = document.lineAt(endLine - 1).range.end;
  if (lines.length) return new vscode.Range(new vscode.Position(line, 0), last);
  if (endLine < document.lineCount) return new vscode.Range(line, 0, endLine, 0);
  return new vscode.Range(line === 0 ? new vscode.Position(0, 0) : document.lineAt(line - 1).range.end, last);
}

interface Drawing {
  readonly gone: vscode.DecorationOptions[];
  readonly come: vscode.DecorationOptions[];
}

function drawing(document: vscode.TextDocument, proposal: Replacement): Drawing {
  const { line, endLine, lines } = proposal;
  const [only] = lines;
  if (endLine - line === 1 && lines.length === 1 && only !== undefined) {
    const { start, end, text } = smallDiff(document.lineAt(line).text, only);
    return drawn(new vscode.Range(line, start, line, end), text);
  }
  if (endLine - line === 1 && only === document.lineAt(line).text) {
    const { end } = document.lineAt(line).range;
    return drawn(new vscode.Range(end, end), ["", ...lines.slice(1).map((each) => each.trim())].join(" ⏎ "));
  }
  const first = new vscode.Position(line, document.lineAt(line).firstNonWhitespaceCharacterIndex);
  const range = new vscode.Range(first, document.lineAt(endLine - 1).range.end);
  return drawn(range, lines.map((each) => each.trim()).join(" ⏎ "));
}

function drawn(range: vscode.Range, text: string): Drawing {
  const end = new vscode.Range(range.end, range.end);
  const color = new vscode.ThemeColor("editorGhostText.foreground");
  const backgroundColor = new vscode.ThemeColor("diffEditor.insertedTextBackground");
  const after = { contentText: visible(text), color, backgroundColor };
  return {
    gone: range.isEmpty ? [] : [{ range }],
    come: text ? [{ range: end, renderOptions: { after } }] : [],
  };
}

/** A decoration drops white space at its ends. */
function visible(text: string): string {
  return text.slice(0, MOST_SHOWN_CHARS).replaceAll(" ", "\u00A0").replaceAll("\t", "\u00A0\u00A0");
}

/** At the end of the cursor's line, where the edit itself is out of sight. */
function hintAt(editor: vscode.TextEditor, { line }: Replacement): vscode.DecorationOptions {
  const { end } = editor.document.lineAt(editor.selection.active.line).range;
  const contentText = vscode.l10n.t("Tab: next edit, line {0}", line + 1);
  const color = new vscode.ThemeColor("editorGhostText.foreground");
  const after = { contentText, color, margin: "0 0 0 2em" };
  return { range: new vscode.Range(end, end), renderOptions: { after } };
}
