/** While the editor is idle: chooses which parts of other files go along, and lets the engine read it.
 *
 * Never while a chat of this window runs: it has the engine for itself. Other parts of files than before
 * let the engine read nearly all again, and a key in the middle of that would wait for the rest of it. So
 * they are taken only when a pause has lasted as long as that will take: the longer one has lasted, the
 * longer it is likely to go on. */

import * as vscode from "vscode";
import type { CompletionGate } from "./completionGate";
import type { CompletionSettings } from "./completionSettings";
import { looksBinary } from "./cursor";
import { cursorAt } from "./documentCursor";
import type { MeasuredSpeed } from "./measuredSpeed";
import type { OtherFiles } from "./otherFiles";
import type { Requester } from "./requester";
import type { Suggestions } from "./suggestions";

const IDLE_MS = 1200;

interface Parts {
  readonly gate: CompletionGate;
  readonly settings: CompletionSettings;
  readonly others: OtherFiles;
  readonly requester: Requester;
  readonly speed: MeasuredSpeed;
  readonly suggestions: Suggestions;
  readonly isChatting: () => boolean;
}

export class IdleWork implements vscode.Disposable {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private idleSinceMs = 0;

  constructor(private readonly parts: Parts) {}

  /** To be called at each key and each change of the editor: the work begins some time after the last. */
  postpone(): void {
    this.idleSinceMs = performance.now();
    this.workIn(IDLE_MS);
  }

  dispose(): void {
    clearTimeout(this.timer);
  }

  private workIn(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.work(), ms);
  }

  private async work(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const { gate, settings, others, requester, speed, suggestions, isChatting } = this.parts;
    if (!editor || !(await gate.isOpen(editor.document))) return;
    if (isChatting() || suggestions.isBusy) return this.postpone();
    const { window } = speed;
    const cursor = cursorAt(editor.document, editor.selection.active, window);
    if (looksBinary(cursor)) return;
    const better = others.better(editor.document, cursor, window.extraChars);
    if (!better && requester.isWarmAt(cursor)) return;
    if (better && !better.isFirst) {
      const waitMs = requester.addedMs(cursor, better.extras) - (performance.now() - this.idleSinceMs);
      if (waitMs > 0) return this.workIn(waitMs);
    }
    if (better) others.choose(better);
    const run = settings.warmsUp ? requester.warmUp(cursor) : undefined;
    if (run) await suggestions.warm(run);
  }
}
