/** Whether suggestions are made in a document now, and if not, why. */

import type * as vscode from "vscode";
import type { InfillModel } from "../servers/modelRegistry";
import type { CompletionSettings } from "./completionSettings";
import type { CopilotCompletion } from "./copilotCompletion";
import type { ExcludedFiles, Exclusion } from "./excludedFiles";
import type { Snooze } from "./snooze";

export type Off = "noModel" | "disabled" | "snoozed" | "copilot" | Exclusion;

interface Parts {
  readonly settings: CompletionSettings;
  readonly snooze: Pick<Snooze, "until">;
  readonly copilot: Pick<CopilotCompletion, "isOnIn">;
  readonly excluded: Pick<ExcludedFiles, "of">;
  readonly model: () => InfillModel | undefined;
}

export class CompletionGate {
  constructor(private readonly parts: Parts) {}

  /** Undefined where suggestions are made. */
  async off(document: vscode.TextDocument): Promise<Off | undefined> {
    return this.offIn(document) ?? this.withoutModel(document);
  }

  /** The same for what is suggested without the completion model: next edits. */
  async withoutModel(document: vscode.TextDocument): Promise<Exclude<Off, "noModel"> | undefined> {
    return this.switchedOff(document) ?? (await this.parts.excluded.of(document));
  }

  async isOpen(document: vscode.TextDocument): Promise<boolean> {
    return (await this.off(document)) === undefined;
  }

  private offIn(document: vscode.TextDocument): Off | undefined {
    const off = this.switchedOff(document);
    return off === "disabled" || this.parts.model() ? off : "noModel";
  }

  /** What is known without reading files. */
  private switchedOff(document: vscode.TextDocument): "disabled" | "snoozed" | "copilot" | undefined {
    const { settings, snooze, copilot } = this.parts;
    if (!settings.of(document).isEnabled) return "disabled";
    if (snooze.until !== undefined) return "snoozed";
    if (!settings.besideCopilot && copilot.isOnIn(document.languageId)) return "copilot";
    return undefined;
  }
}
