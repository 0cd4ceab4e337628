/** What a person can ask for from the command palette and the status bar. */

import * as vscode from "vscode";
import { hasModel, type Catalog, type Offer } from "../servers/modelRegistry";
import { chat, ChatFailure, type Sink } from "../chat/chatCompletion";
import { EndpointError, parseEndpoint } from "../servers/endpoint";
import { chatMessage, discoveryMessage, invalidEndpointMessage } from "../chat/errorMessages";
import { tooltip } from "../chat/provider";
import type { Settings } from "../servers/settings";
import type { SignedOut } from "./signedOutSettings";

interface Parts {
  readonly catalog: Catalog;
  readonly settings: Settings;
  readonly signedOut: SignedOut;
  readonly log: vscode.LogOutputChannel;
  readonly version: string;
}

const CHECK_TIMEOUT_MS = 120_000;
const TASK_TYPE = "stoker";

export function registerCommands(parts: Parts): vscode.Disposable {
  const commands: Record<string, () => unknown> = {
    manage: () => manage(parts),
    setEndpoint: () => setEndpoint(parts),
    checkEndpoint: () => checkEndpoint(parts),
    setApiKey: () => setApiKey(parts),
    setHuggingFaceToken: () => setHuggingFaceToken(parts),
    allowSignedOut: () => parts.signedOut.allow(),
    undoChatSettings: () => parts.signedOut.undo(),
    showLog: () => parts.log.show(),
    copyDiagnostics: () => copyDiagnostics(parts),
    startServer: () => runStoker("up"),
    stopServer: () => runStoker("down"),
    openGuide: () =>
      vscode.commands.executeCommand("workbench.action.openWalkthrough", "stoker.stoker#start"),
  };
  return vscode.Disposable.from(
    ...Object.entries(commands).map(([name, run]) =>
      vscode.commands.registerCommand(`stoker.${name}`, run),
    ),
    vscode.tasks.onDidEndTaskProcess((ended) => taskEnded(ended, parts)),
  );
}

async function manage({ catalog }: Parts): Promise<void> {
  const { t } = vscode.l10n;
  await catalog.offers();
  const outage = catalog.outages[0];
  const action = (icon: string, label: string, command: string) => ({
    label: `$(${icon}) ${label}`,
    command: `stoker.${command}`,
  });
  const items: (vscode.QuickPickItem & { command?: string })[] = [
    ...catalog.models.map((offer) => ({ label: `$(check) ${offer.model.id}`, detail: tooltip(offer) })),
    { label: "", kind: vscode.QuickPickItemKind.Separator },
    action("plug", t("Set the endpoint"), "setEndpoint"),
    action("beaker", t("Check the endpoint"), "checkEndpoint"),
    action("key", t("Set the API key"), "setApiKey"),
    action("unlock", t("Allow chat without signing in"), "allowSignedOut"),
    action("output", t("Show the log"), "showLog"),
    action("copy", t("Copy diagnostics"), "copyDiagnostics"),
    action("play", t("Start the local server"), "startServer"),
    action("debug-stop", t("Stop the local server"), "stopServer"),
    action("book", t("Open the guide"), "openGuide"),
  ];
  const placeHolder = outage
    ? discoveryMessage(outage.error, outage.source.label)
    : t("Stoker: what do you want to do?");
  const chosen = await vscode.window.showQuickPick(items, { placeHolder });
  if (chosen?.command) await vscode.commands.executeCommand(chosen.command);
}

async function setEndpoint({ settings }: Parts): Promise<void> {
  const shown = settings.endpoint()?.base ?? "";
  const text = await vscode.window.showInputBox({
    title: vscode.l10n.t("The address of your model server"),
    prompt: vscode.l10n.t("For example http://localhost:8080. Leave it empty to disconnect."),
    value: shown,
    ignoreFocusOut: true,
    validateInput: (value) => {
      try {
        parseEndpoint(value);
        return undefined;
      } catch (error) {
        if (error instanceof EndpointError) return error.message;
        throw error;
      }
    },
  });
  // The credentials in the setting are not shown: left as shown, it keeps them.
  if (text === undefined || (shown && text.trim() === shown)) return;
  try {
    await settings.setEndpoint(text);
  } catch (error) {
    await vscode.window.showErrorMessage(
      vscode.l10n.t(
        "The endpoint could not be written to your settings: {0}",
        error instanceof Error ? error.message : String(error),
      ),
    );
  }
}

async function setApiKey({ settings, catalog }: Parts): Promise<void> {
  const endpoint = settings.endpoint();
  if (!endpoint) {
    await vscode.window.showInformationMessage(
      vscode.l10n.t("Set the endpoint first: an API key belongs to one endpoint."),
    );
    return;
  }
  const key = await vscode.window.showInputBox({
    title: vscode.l10n.t("API key for {0}", endpoint.base),
    prompt: vscode.l10n.t("It is kept in secret storage. Leave it empty to forget it."),
    password: true,
    ignoreFocusOut: true,
  });
  if (key === undefined) return;
  await settings.setApiKey(endpoint, key);
  await catalog.reset();
}

async function setHuggingFaceToken({ settings, catalog }: Parts): Promise<void> {
  const token = await vscode.window.showInputBox({
    title: vscode.l10n.t("Hugging Face token"),
    prompt: vscode.l10n.t(
      "It adds the models of Hugging Face's Inference Providers. Leave it empty to remove them.",
    ),
    password: true,
    ignoreFocusOut: true,
  });
  if (token === undefined) return;
  await settings.setHuggingFaceToken(token);
  await catalog.reset();
}

/** Lists, counts and chats for real, and says in one sentence what works. */
async function checkEndpoint({ catalog, settings, log }: Parts): Promise<void> {
  const { t } = vscode.l10n;
  const problem = settings.problem();
  if (problem) {
    await vscode.window.showErrorMessage(invalidEndpointMessage(problem));
    return;
  }
  const progress = { location: vscode.ProgressLocation.Notification, title: t("Stoker checks…") };
  const outcome = await vscode.window.withProgress(progress, async () => {
    const offers = await catalog.refresh();
    const outage = catalog.outages[0];
    if (outage) return { ok: false, text: discoveryMessage(outage.error, outage.source.label) };
    const offer = offers.find(hasModel);
    if (!offer) return { ok: false, text: t("No model is offered. Set the endpoint first.") };
    return tryModel(offer);
  });
  if (outcome.ok) log.info("check: the endpoint works");
  else log.error("check: the endpoint does not work");
  const show = outcome.ok ? vscode.window.showInformationMessage : vscode.window.showErrorMessage;
  await show(outcome.text);
}

async function tryModel(offer: Offer): Promise<{ ok: boolean; text: string }> {
  const { t } = vscode.l10n;
  const silent: Sink = { text: () => {}, thinking: () => {}, toolCall: () => {} };
  const request = {
    model: offer.model.id,
    messages: [{ role: "user" as const, content: "Say OK." }],
    max_tokens: 16,
    stream: true,
    stream_options: { include_usage: true },
  };
  try {
    const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    const { timing } = await chat(offer.source.server, request, silent, signal);
    const counts = (await offer.counter.isExact())
      ? t("token counts are exact")
      : t("token counts are estimated: the server offers no way to count");
    const first = Math.round(timing.firstTokenMs ?? timing.totalMs);
    return {
      ok: true,
      text: t(
        "{0} works: first token after {1} ms, context {2} tokens, {3}.",
        offer.model.id,
        first,
        offer.context,
        counts,
      ),
    };
  } catch (error) {
    if (error instanceof ChatFailure) {
      return { ok: false, text: chatMessage(error, offer.source.label, offer.model) };
    }
    if (!(error instanceof DOMException && error.name === "TimeoutError")) throw error;
    return { ok: false, text: t("{0} did not answer within two minutes.", offer.model.id) };
  }
}

/** Facts for a bug report: no key, no credential, no prompt. */
async function copyDiagnostics({ catalog, settings, version }: Parts): Promise<void> {
  await catalog.offers();
  const offers = catalog.models;
  const exact = await Promise.all(offers.map(({ counter }) => counter.isExact()));
  const lines = [
    `- Stoker ${version}, ${vscode.env.appName} ${vscode.version} (${vscode.env.appHost})`,
    `- remote: ${vscode.env.remoteName ?? "none"}, language: ${vscode.env.language}`,
    `- endpoint: ${settings.endpoint()?.base ?? (settings.problem() ? "not a URL" : "unset")}`,
    `- thinking parts: ${"LanguageModelThinkingPart" in vscode ? "yes" : "no"}`,
    `- tools known to the editor: ${vscode.lm.tools.length}`,
    ...catalog.outages.map(
      ({ source, error }) => `- down: ${discoveryMessage(error, source.label)}`,
    ),
    ...offers.map((offer, at) => `- ${tooltip(offer)} · exact counts: ${exact[at] ? "yes" : "no"}`),
  ];
  await vscode.env.clipboard.writeText(lines.join("\n") + "\n");
  await vscode.window.showInformationMessage(
    vscode.l10n.t("Diagnostics are on the clipboard. They hold no key and no chat text."),
  );
}

/** Runs `stoker up` or `stoker down` as a task: people see what it does, in the right host. */
async function runStoker(command: "up" | "down"): Promise<void> {
  const task = new vscode.Task(
    { type: TASK_TYPE, command },
    vscode.TaskScope.Workspace,
    command,
    "Stoker",
    new vscode.ShellExecution("stoker", [command]),
  );
  await vscode.tasks.executeTask(task);
}

async function taskEnded(
  { execution, exitCode }: vscode.TaskProcessEndEvent,
  { catalog, log }: Parts,
): Promise<void> {
  const { definition, name } = execution.task;
  if (definition.type !== TASK_TYPE) return;
  log.info(`stoker ${name} ended with ${exitCode ?? "no exit code"}`);
  await catalog.reset();
  // 127: POSIX shells and 9009: cmd did not find it. PowerShell says 1, as `stoker` itself does
  // where it fails: there the terminal has the words.
  if (exitCode === 127 || exitCode === 9009) {
    await vscode.window.showErrorMessage(
      vscode.l10n.t("The stoker command is not installed here. Install it: pipx install stoker"),
    );
  }
}
