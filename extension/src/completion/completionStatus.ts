/** What the status bar shows of completion. */

import { l10n } from "vscode";
import { HttpError } from "../api/apiClient";
import { messageOf } from "../api/narrow";
import type { Off } from "./completionGate";

export interface CompletionStatus {
  readonly text: string;
  /** Whether the person should know without pointing at it. */
  readonly isProblem: boolean;
}

export interface CompletionFacts {
  /** Why nothing is suggested in the active document. */
  readonly off: Off | undefined;
  /** Why the last request failed. */
  readonly error: unknown;
  /** The model that completes, and where. */
  readonly model: { readonly id: string; readonly where: string } | undefined;
  /** The model that the user's settings name. */
  readonly named: string | undefined;
  readonly snoozedUntil: number | undefined;
  readonly latencyMs: number | undefined;
}

/** Undefined where there is nothing to report: the endpoint has no model for it, and none was named. */
export function completionStatus(facts: CompletionFacts): CompletionStatus | undefined {
  const { off, error, model, named } = facts;
  if (off === "noModel") return named === undefined ? undefined : problem(missing(named));
  if (off !== undefined) return { text: offText(off, facts), isProblem: false };
  if (!model) return undefined;
  if (error !== undefined) return problem(failure(error, model.where));
  const ms = facts.latencyMs;
  const text =
    ms === undefined
      ? l10n.t("Completion: {0}", model.id)
      : l10n.t("Completion: {0}, {1} ms", model.id, Math.round(ms));
  return { text, isProblem: false };
}

function problem(text: string): CompletionStatus {
  return { text, isProblem: true };
}

function missing(named: string): string {
  return l10n.t(
    "Completion is off: the endpoint has no model {0} that completes code. Correct the setting stoker.completion.model.",
    named,
  );
}

function offText(off: Exclude<Off, "noModel">, { snoozedUntil }: CompletionFacts): string {
  switch (off) {
    case "disabled":
      return l10n.t("Completion is off: stoker.completion.enabled is false.");
    case "snoozed":
      return l10n.t("Completion is snoozed until {0}.", new Date(snoozedUntil ?? 0).toLocaleTimeString());
    case "copilot":
      return l10n.t(
        "Completion is off: GitHub Copilot's is on. To use both, turn on stoker.completion.besideCopilot; to use only Stoker's, turn off github.copilot.enable.",
      );
    case "secret":
      return l10n.t("Completion is off in this file: it has the name of a file that holds secrets.");
    case "setting":
      return l10n.t("Completion is off in this file: stoker.completion.exclude names it.");
    case "gitignore":
      return l10n.t("Completion is off in this file: .gitignore names it.");
    case "scheme":
      return l10n.t("Completion is off here: this is not a file.");
  }
}

function failure(error: unknown, where: string): string {
  if (!(error instanceof HttpError)) {
    return l10n.t("Completion failed: {0} did not answer ({1}).", where, messageOf(error));
  }
  const busy = error.status === 429 || error.status === 503;
  return busy
    ? l10n.t("Completion waits: {0} is busy (HTTP {1}).", where, error.status)
    : l10n.t("Completion failed: {0} answered HTTP {1}. Check its log.", where, error.status);
}
