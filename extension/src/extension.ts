/** Connects the parts. Nothing here waits for a server, so that activation stays fast. */

import * as vscode from "vscode";
import { Provider } from "./chat/provider";
import { Completion } from "./completion";
import { LastServedModels } from "./servers/lastServedModels";
import { ModelRegistry } from "./servers/modelRegistry";
import { Settings, SETTING } from "./servers/settings";
import { registerCommands } from "./ui/commands";
import { SignedOutSettings } from "./ui/signedOutSettings";
import { StatusBar } from "./ui/statusBar";

/** How often a window checks whether its server still serves the same. */
const POLL_MS = 15_000;

export function activate(context: vscode.ExtensionContext): void {
  const startedAt = performance.now();
  const log = vscode.window.createOutputChannel("Stoker", { log: true });
  const settings = new Settings(context.secrets, log);
  const lastServed = new LastServedModels(context.globalState);
  const registry = new ModelRegistry(() => settings.sources(), lastServed, log);
  const provider = new Provider(registry, settings, log);
  const completion = new Completion({ registry, isChatting: () => provider.isChatting, log });
  const statusBar = new StatusBar(registry, settings, completion);
  const signedOut = new SignedOutSettings(context.globalState, log);
  const version = String(context.extension.packageJSON.version);
  const polling = setInterval(() => void registry.poll(), POLL_MS);
  context.subscriptions.push(
    log,
    registry,
    provider,
    completion,
    statusBar,
    { dispose: () => clearInterval(polling) },
    vscode.lm.registerLanguageModelChatProvider("stoker", provider),
    registerCommands({ registry, settings, completion, signedOut, log, version }),
    registry.onDidChange(() => {
      statusBar.update();
      logState(registry, log);
      if (registry.models.length) void signedOut.offer();
    }),
    completion.onDidChange(() => statusBar.update()),
    provider.onDidAsk((id) => statusBar.asked(id)),
    provider.onDidAnswer((answered) => statusBar.answered(answered)),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(SETTING)) void registry.reset().then(() => statusBar.update());
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(async () => {
      await registry.reset();
      statusBar.update();
      if (registry.models.length) void signedOut.offer();
    }),
    context.secrets.onDidChange(() => void registry.reset()),
  );
  void registry.refresh();
  log.info(`Stoker ${version} active after ${(performance.now() - startedAt).toFixed(1)} ms`);
}

function logState(registry: ModelRegistry, log: vscode.LogOutputChannel): void {
  const down = registry.outages.map(({ source }) => source.label);
  const models = registry.current.map(({ id, context }) => `${id} (${context})`);
  log.info(`models: ${models.join(", ") || "none"}${down.length ? `; down: ${down.join()}` : ""}`);
}
