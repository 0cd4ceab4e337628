/** The commands of the palette and the status bar. */

import * as vscode from "vscode";
import { discoveryMessage } from "../chat/errorMessages";
import { tooltip } from "../chat/modelInformation";
import type { Completion } from "../completion";
import type { ModelRegistry } from "../servers/modelRegistry";
import type { Settings } from "../servers/settings";
import { checkEndpoint } from "./checkEndpoint";
import { copyDiagnostics } from "./diagnostics";
import { setApiKey, setEndpoint, setHuggingFaceToken } from "./endpointCommands";
import { onTaskEnd, runStoker } from "./localServer";
import type { SignedOutSettings } from "./signedOutSettings";

interface Parts {
  readonly registry: ModelRegistry;
  readonly settings: Settings;
  readonly completion: Pick<Completion, "snooze" | "showLastRequest">;
  readonly signedOut: SignedOutSettings;
  readonly log: vscode.LogOutputChannel;
  readonly version: string;
}

export function registerCommands(parts: Parts): vscode.Disposable {
  const { registry, settings, completion, signedOut, log, version } = parts;
  const commands: Record<string, () => unknown> = {
    manage: () => manage(registry),
    setEndpoint: () => setEndpoint(settings),
    checkEndpoint: () => checkEndpoint(registry, settings, log),
    setApiKey: () => setApiKey(settings, registry),
    setHuggingFaceToken: () => setHuggingFaceToken(settings, registry),
    allowSignedOut: () => signedOut.allow(),
    undoChatSettings: () => signedOut.undo(),
    snoozeCompletion: () => completion.snooze(),
    showCompletionRequest: () => completion.showLastRequest(),
    showLog: () => log.show(),
    copyDiagnostics: () => copyDiagnostics(registry, settings, version),
    startServer: () => runStoker("up"),
    stopServer: () => runStoker("down"),
    openGuide: () =>
      vscode.commands.executeCommand("workbench.action.openWalkthrough", "stoker.stoker#start"),
  };
  return vscode.Disposable.from(
    ...Object.entries(commands).map(([name, run]) =>
      vscode.commands.registerCommand(`stoker.${name}`, run),
    ),
    onTaskEnd(registry, log),
  );
}

interface Action extends vscode.QuickPickItem {
  readonly command?: string;
}

async function manage(registry: ModelRegistry): Promise<void> {
  await registry.entries();
  const outage = registry.outages[0];
  const placeHolder = outage
    ? discoveryMessage(outage.error, outage.source.label)
    : vscode.l10n.t("Stoker: what do you want to do?");
  const models = registry.models.map((entry) => ({
    label: `$(check) ${entry.model.id}`,
    detail: tooltip(entry),
  }));
  const separator = { label: "", kind: vscode.QuickPickItemKind.Separator };
  const items: Action[] = [...models, separator, ...actions()];
  const chosen = await vscode.window.showQuickPick(items, { placeHolder });
  if (chosen?.command) await vscode.commands.executeCommand(chosen.command);
}

function actions(): Action[] {
  const { t } = vscode.l10n;
  const action = (icon: string, label: string, command: string) => ({
    label: `$(${icon}) ${label}`,
    command: `stoker.${command}`,
  });
  return [
    action("plug", t("Set the endpoint"), "setEndpoint"),
    action("beaker", t("Check the endpoint"), "checkEndpoint"),
    action("key", t("Set the API key"), "setApiKey"),
    action("unlock", t("Allow chat without signing in"), "allowSignedOut"),
    action("bell-slash", t("Snooze completion"), "snoozeCompletion"),
    action("eye", t("Show the last completion request"), "showCompletionRequest"),
    action("output", t("Show the log"), "showLog"),
    action("copy", t("Copy diagnostics"), "copyDiagnostics"),
    action("play", t("Start the local server"), "startServer"),
    action("debug-stop", t("Stop the local server"), "stopServer"),
    action("book", t("Open the guide"), "openGuide"),
  ];
}
