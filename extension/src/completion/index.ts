/** Inline suggestions from the endpoint's own model. This is the door of the folder: it makes the parts,
 * connects them to VS Code's events, and reports to the status bar. */

import * as vscode from "vscode";
import type { InfillModel, ModelRegistry } from "../servers/modelRegistry";
import { CompletionGate } from "./completionGate";
import { completionModel, nextEditModel } from "./completionModel";
import { ACCEPTED, CompletionProvider } from "./completionProvider";
import { COMPLETION_SECTION, CompletionSettings } from "./completionSettings";
import { completionStatus, type CompletionStatus } from "./completionStatus";
import { CopilotCompletion } from "./copilotCompletion";
import { ExcludedFiles, SELECTOR } from "./excludedFiles";
import { IdleWork } from "./idleWork";
import { NextEditCall } from "./nextEdit/nextEditCall";
import { registerNextEdit } from "./nextEdit/nextEditProvider";
import { LastRequest } from "./lastRequest";
import { MeasuredSpeed } from "./measuredSpeed";
import { OtherFiles } from "./otherFiles";
import { postProcess } from "./postProcess";
import { Requester } from "./requester";
import { Snooze } from "./snooze";
import { Suggestions, type Change, type Spot } from "./suggestions";
import { TypingPace } from "./typingPace";

export type { CompletionStatus } from "./completionStatus";

export interface CompletionParts {
  readonly registry: ModelRegistry;
  /** Whether a chat of this window runs. */
  readonly isChatting: () => boolean;
  readonly log: vscode.LogOutputChannel;
}

export class Completion implements vscode.Disposable {
  private readonly settings = new CompletionSettings();
  private readonly snoozing = new Snooze();
  private readonly copilot = new CopilotCompletion();
  private readonly excluded = new ExcludedFiles(this.settings);
  private readonly last = new LastRequest();
  private readonly speed = new MeasuredSpeed();
  private readonly gate: CompletionGate;
  private readonly others: OtherFiles;
  private readonly requester: Requester;
  private readonly suggestions: Suggestions;
  private readonly idle: IdleWork;
  private readonly changed = new vscode.EventEmitter<void>();
  /** The status may have changed. */
  readonly onDidChange = this.changed.event;
  /** For the active editor's document; undefined where there is nothing to report. */
  status: CompletionStatus | undefined;
  private asked: string | undefined;
  private readonly subscriptions: vscode.Disposable;

  constructor(private readonly parts: CompletionParts) {
    const { settings, copilot, excluded, speed } = this;
    const model = () => this.model();
    this.gate = new CompletionGate({ settings, copilot, excluded, snooze: this.snoozing, model });
    const isOpen = (document: vscode.TextDocument) => this.gate.isOpen(document);
    this.others = new OtherFiles(isOpen);
    const extras = (uri: string) => this.others.of(uri);
    this.requester = new Requester(model, extras, speed, this.last, parts.log);
    this.suggestions = this.makeSuggestions();
    const { gate, others, requester, suggestions } = this;
    const { isChatting } = parts;
    this.idle = new IdleWork({ gate, settings, others, requester, speed, suggestions, isChatting });
    const provider = new CompletionProvider({ gate, settings, suggestions, window: () => speed.window });
    this.subscriptions = vscode.Disposable.from(
      vscode.languages.registerInlineCompletionItemProvider(SELECTOR, provider),
      vscode.commands.registerCommand(ACCEPTED, (uri: string, line: number, character: number) =>
        this.accepted(provider, uri, new vscode.Position(line, character)),
      ),
      this.nextEdits(),
      ...this.listeners(),
    );
    void this.update();
  }

  /** The command that lets nothing be suggested for a while. */
  async snooze(): Promise<void> {
    await this.snoozing.choose();
  }

  /** The command that shows what was last sent. */
  async showLastRequest(): Promise<void> {
    await this.last.show();
  }

  dispose(): void {
    this.suggestions.left();
    for (const part of [this.subscriptions, this.idle, this.others, this.last, this.excluded]) part.dispose();
    for (const part of [this.copilot, this.snoozing, this.changed]) part.dispose();
  }

  private nextEdits(): vscode.Disposable {
    const { registry, isChatting, log } = this.parts;
    const call = new NextEditCall(() => (isChatting() ? undefined : nextEditModel(registry)), this.last, log);
    return registerNextEdit({
      isOn: () => this.settings.nextEdit,
      isOpen: async (document) => (await this.gate.withoutModel(document)) === undefined,
      ask: (question, signal) => call.ask(question, signal),
    });
  }

  private model(): InfillModel | undefined {
    return completionModel(this.parts.registry, this.settings.model);
  }

  private makeSuggestions(): Suggestions {
    const { requester } = this;
    // Only an open document asks, so its language's settings are known.
    const settings = () => this.settings.of(activeDocument());
    return new Suggestions(
      {
        run: (cursor, multiline) => {
          const { maxTokens, multiline: repeats } = settings();
          return requester.run(cursor, { multiline, repeats, maxTokens });
        },
        failed: (error) => {
          requester.failed(error);
          void this.update();
        },
        succeeded: () => {
          requester.succeeded();
          void this.update();
        },
        askAgain: (cursor) => this.askAgain(cursor),
        waitMs: () => requester.waitMs(),
        refine: ({ rest, multiline, finished }, { prefix, suffix, languageId, tabSize }) =>
          postProcess(rest, { prefix, suffix, languageId, multiline, finished, tabSize, repeats: settings().multiline }),
        now: () => performance.now(),
      },
      new TypingPace(),
      this.speed,
    );
  }

  private listeners(): vscode.Disposable[] {
    const { workspace, window } = vscode;
    return [
      workspace.onDidChangeTextDocument((event) => {
        // A document that was saved is reported with no changes.
        if (event.document !== window.activeTextEditor?.document || !event.contentChanges.length) return;
        this.suggestions.changed(changesOf(event));
        this.idle.postpone();
      }),
      window.onDidChangeTextEditorSelection(({ textEditor, selections }) => {
        const at = selections[0]?.active;
        if (textEditor !== window.activeTextEditor) return;
        if (at) this.suggestions.moved(textEditor.document.uri.toString(), at);
        this.idle.postpone(); // where the cursor was put, something may be typed next
      }),
      window.onDidChangeActiveTextEditor(() => {
        this.suggestions.left();
        this.idle.postpone();
        void this.update();
      }),
      workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(COMPLETION_SECTION) || event.affectsConfiguration("github.copilot")) {
          this.reset();
        }
      }),
      this.parts.registry.onDidChange(() => this.modelMayHaveChanged()),
      this.snoozing.onDidChange(() => this.reset()),
      this.copilot.onDidChange(() => this.reset()),
      this.excluded.onDidChange(() => this.reset()),
    ];
  }

  /** Not while a chat runs: the person looks there. An explicit question, because VS Code keeps an empty
   * answer to the last one and asks no other by itself before the next key. */
  private askAgain({ uri, line, character }: Spot): boolean {
    const { document, selection } = vscode.window.activeTextEditor ?? {};
    const at = selection?.active;
    const isThere = document?.uri.toString() === uri && at?.line === line && at.character === character;
    if (!isThere || this.parts.isChatting()) return false;
    this.parts.log.debug("completion: VS Code is asked to ask again");
    void vscode.commands.executeCommand("editor.action.inlineSuggest.trigger", { explicit: true });
    return true;
  }

  private async accepted(provider: CompletionProvider, uri: string, end: vscode.Position): Promise<void> {
    const { document } = vscode.window.activeTextEditor ?? {};
    if (document?.uri.toString() === uri) await provider.accepted(document, end);
  }

  private reset(): void {
    this.settings.reread();
    this.excluded.forget();
    this.others.forget();
    this.suggestions.drop();
    this.requester.forgive();
    this.modelMayHaveChanged();
  }

  private modelMayHaveChanged(): void {
    const model = this.model();
    const asked = model && `${model.source.server.base} ${model.id}`;
    if (asked !== this.asked) {
      this.asked = asked;
      this.suggestions.forget();
      this.requester.forgive();
      this.idle.postpone();
    }
    void this.update();
  }

  private async update(): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    const model = this.model();
    const before = JSON.stringify(this.status);
    this.status = completionStatus({
      off: document ? await this.gate.off(document) : model ? undefined : "noModel",
      error: this.requester.error,
      model: model && { id: model.id, where: model.source.label },
      named: this.settings.model,
      snoozedUntil: this.snoozing.until,
      latencyMs: this.speed.latencyMs,
    });
    if (JSON.stringify(this.status) !== before) this.changed.fire();
  }
}

function activeDocument(): Pick<vscode.TextDocument, "languageId" | "uri"> {
  const document = vscode.window.activeTextEditor?.document;
  return document ?? { languageId: "plaintext", uri: vscode.Uri.parse("untitled:") };
}

function changesOf({ document, contentChanges }: vscode.TextDocumentChangeEvent): Change[] {
  const uri = document.uri.toString();
  return contentChanges.map(({ range, rangeLength, text }) => ({
    uri,
    line: range.start.line,
    character: range.start.character,
    removed: rangeLength,
    text: text.replaceAll("\r\n", "\n"),
  }));
}
