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
    return this.offIn(document) ?? (await this.parts.excluded.of(document));
  }

  async isOpen(document: vscode.TextDocument): Promise<boolean> {
    return (await this.off(document)) === undefined;
  }

  /** What is known without reading files. */
  private offIn(document: vscode.TextDocument): Off | undefined {
    const { settings, snooze, copilot, model } = this.parts;
    if (!settings.of(document).isEnabled) return "disabled";
    if (!model()) return "noModel";
    if (snooze.until !== undefined) return "snoozed";
    if (!settings.besideCopilot && copilot.isOnIn(document.languageId)) return "copilot";
    return undefined;
  }
}
