/** How VS Code sees a model: its entry in the picker, and the tokens that VS Code plans with. */

import * as vscode from "vscode";
import { assumedContext, hasModel, type ModelEntry } from "../servers/modelEntry";

/** What hosts read beyond the final API: whether it can be chosen, and whether it uses the user's key. */
export interface ModelInformation extends vscode.LanguageModelChatInformation {
  readonly isUserSelectable: boolean;
  readonly isBYOK: boolean;
}

/** The least window that VS Code is given where Stoker's gateway truncates prompts to a smaller one.
 * VS Code counts about 13,700 tokens of tools whatever the model. With less than about 20,000 it finds
 * no room and summarizes the conversation before nearly every step; its Copilot harness sends nothing
 * at 8,192. With 65,536 advertised and 8,192 served, 6 of 6 turns were answered without a summary
 * (measured in 1.139). */
export const EDITOR_WINDOW_TOKENS = 65_536;

/** @param isDown whether its server did not answer when last asked */
export function information(entry: ModelEntry, isDown = false): ModelInformation {
  const { model, source } = entry;
  return {
    id: entry.id,
    name: displayName(entry),
    family: shortName(model.id).toLowerCase() || entry.id,
    version: "1",
    detail: isDown ? vscode.l10n.t("{0} does not answer", source.label) : source.label,
    tooltip: tooltip(entry),
    ...tokenLimits(advertisedWindow(entry)),
    capabilities: { toolCalling: model.tools !== "none", imageInput: model.vision },
    isUserSelectable: true,
    isBYOK: true,
  };
}

/** A model that is no longer served: not in the picker's list, but where it is still chosen, a message
 * to it reaches this extension, which can explain why it does not answer. */
export function goneInformation(id: string): ModelInformation {
  return {
    id,
    name: vscode.l10n.t("{0} (no longer served)", shortName(id)),
    family: shortName(id).toLowerCase(),
    version: "1",
    ...tokenLimits(EDITOR_WINDOW_TOKENS),
    capabilities: { toolCalling: true, imageInput: false },
    isUserSelectable: false,
    isBYOK: true,
  };
}

/** A model's name without the organization before it. */
export function shortName(id: string): string {
  return id.split("/").at(-1) || id;
}

/** Tokens reserved for the answer: a quarter of a small window, 4,096 of a large one. */
export function answerTokens(context: number): number {
  return Math.min(4096, Math.floor(context / 4));
}

export function tooltip(entry: ModelEntry): string {
  const { model, source, isAlias } = entry;
  const alias = vscode.l10n.t("whichever model {0} serves first", source.label);
  if (!hasModel(entry)) return alias;
  return [
    isAlias ? alias : undefined,
    model.id,
    vscode.l10n.t("{0} at {1}", model.engine, source.label),
    contextText(entry),
    model.quantization,
    model.tools === "emulated" ? vscode.l10n.t("tools emulated") : undefined,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Tokens of prompt and answer together that VS Code plans with. */
function advertisedWindow({ model, context }: ModelEntry): number {
  return model.fits ? Math.max(context, EDITOR_WINDOW_TOKENS) : context;
}

function tokenLimits(window: number): { maxInputTokens: number; maxOutputTokens: number } {
  const maxOutputTokens = answerTokens(window);
  return { maxInputTokens: window - maxOutputTokens, maxOutputTokens };
}

function displayName({ model, isAlias }: ModelEntry): string {
  const name = shortName(model.id);
  if (!isAlias) return name;
  // Until the user chooses a model, VS Code takes the first name in alphabetical order. A space
  // sorts before all letters and is not visible.
  return " " + (name ? vscode.l10n.t("Local: {0}", name) : vscode.l10n.t("Local"));
}

/** The true window: VS Code itself may be given a larger one. */
function contextText({ model, context }: ModelEntry): string {
  const isAssumed = model.maxModelLen === undefined && context === assumedContext(model);
  if (isAssumed) return vscode.l10n.t("context not reported; {0} tokens assumed", context);
  return model.fits
    ? vscode.l10n.t("context {0} tokens, fitted by Stoker", context)
    : vscode.l10n.t("context {0} tokens", context);
}
