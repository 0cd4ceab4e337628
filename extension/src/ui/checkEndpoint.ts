/** Lists, counts and chats for real, and reports in one sentence what works. */

import * as vscode from "vscode";
import { chat } from "../chat/chatCompletion";
import { ChatFailure } from "../chat/chatFailure";
import { chatMessage, discoveryMessage, invalidEndpointMessage } from "../chat/errorMessages";
import type { Sink } from "../chat/responseAccumulator";
import { hasModel, type ModelEntry } from "../servers/modelEntry";
import type { ModelRegistry } from "../servers/modelRegistry";
import type { Settings } from "../servers/settings";

interface Outcome {
  readonly ok: boolean;
  readonly message: string;
}

const TIMEOUT_MS = 120_000;
const DISCARD: Sink = { text: () => {}, thinking: () => {}, toolCall: () => {} };

export async function checkEndpoint(
  registry: ModelRegistry,
  settings: Settings,
  log: vscode.LogOutputChannel,
): Promise<void> {
  const problem = settings.problem();
  if (problem) {
    await vscode.window.showErrorMessage(invalidEndpointMessage(problem));
    return;
  }
  const title = vscode.l10n.t("Stoker is checking the endpoint…");
  const progress = { location: vscode.ProgressLocation.Notification, title };
  const { ok, message } = await vscode.window.withProgress(progress, () => check(registry));
  if (ok) log.info("check: the endpoint works");
  else log.error("check: the endpoint does not work");
  const show = ok ? vscode.window.showInformationMessage : vscode.window.showErrorMessage;
  await show(message);
}

async function check(registry: ModelRegistry): Promise<Outcome> {
  const entries = await registry.refresh();
  const outage = registry.outages[0];
  if (outage) return { ok: false, message: discoveryMessage(outage.error, outage.source.label) };
  const entry = entries.find(hasModel);
  if (entry) return checkModel(entry);
  return { ok: false, message: vscode.l10n.t("There is no model to check. Set the endpoint first.") };
}

async function checkModel(entry: ModelEntry): Promise<Outcome> {
  try {
    return { ok: true, message: await chatAndCount(entry) };
  } catch (error) {
    if (error instanceof ChatFailure) {
      return { ok: false, message: chatMessage(error, entry.source.label, entry.model) };
    }
    if (!(error instanceof DOMException && error.name === "TimeoutError")) throw error;
    const message = vscode.l10n.t("{0} did not answer within two minutes.", entry.model.id);
    return { ok: false, message };
  }
}

async function chatAndCount({ model, source, counter, context }: ModelEntry): Promise<string> {
  const { t } = vscode.l10n;
  const request = {
    model: model.id,
    messages: [{ role: "user" as const, content: "Say OK." }],
    max_tokens: 16,
    stream: true,
    stream_options: { include_usage: true },
  };
  const { timing } = await chat(source.server, request, DISCARD, AbortSignal.timeout(TIMEOUT_MS));
  const counts = (await counter.isExact())
    ? t("token counts are exact")
    : t("token counts are estimated because the server cannot count");
  const firstMs = Math.round(timing.firstTokenMs ?? timing.totalMs);
  return t(
    "{0} works: first token after {1} ms, context {2} tokens, {3}.",
    model.id,
    firstMs,
    context,
    counts,
  );
}
