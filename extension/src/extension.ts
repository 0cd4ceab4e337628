/** Puts the parts together. Nothing here waits for a server: activation must not. */

import * as vscode from "vscode";
import { Catalog } from "./servers/modelRegistry";
import { registerCommands } from "./ui/commands";
import { Memory } from "./servers/lastServedModels";
import { Provider } from "./chat/provider";
import { Settings, SETTING } from "./servers/settings";
import { SignedOut } from "./ui/signedOutSettings";
import { Status } from "./ui/statusBar";

/** How often a window looks whether its server is still there. */
const WATCH_MS = 15_000;

export function activate(context: vscode.ExtensionContext): void {
  const startedAt = performance.now();
  const log = vscode.window.createOutputChannel("Stoker", { log: true });
  const settings = new Settings(context.secrets, log);
  const memory = new Memory(context.globalState);
  const catalog = new Catalog(() => settings.sources(), memory, log);
  const provider = new Provider(catalog, settings, log);
  const status = new Status(catalog, settings);
  const signedOut = new SignedOut(context.globalState, log);
  const version = String(context.extension.packageJSON.version);
  const watch = setInterval(() => void catalog.watch(), WATCH_MS);
  context.subscriptions.push(
    log,
    catalog,
    provider,
    status,
    { dispose: () => clearInterval(watch) },
    vscode.lm.registerLanguageModelChatProvider("stoker", provider),
    registerCommands({ catalog, settings, signedOut, log, version }),
    catalog.onDidChange(() => {
      status.update();
      logState(catalog, log);
      if (catalog.models.length) void signedOut.offer();
    }),
    provider.onDidAsk((id) => status.asked(id)),
    provider.onDidAnswer((answered) => status.answered(answered)),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(SETTING)) void catalog.reset().then(() => status.update());
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(async () => {
      await catalog.reset();
      status.update();
      if (catalog.models.length) void signedOut.offer();
    }),
    context.secrets.onDidChange(() => void catalog.reset()),
  );
  void catalog.refresh();
  log.info(`Stoker ${version} active after ${(performance.now() - startedAt).toFixed(1)} ms`);
}

function logState(catalog: Catalog, log: vscode.LogOutputChannel): void {
  const down = catalog.outages.map(({ source }) => source.label);
  const models = catalog.current.map(({ id, context }) => `${id} (${context})`);
  log.info(`models: ${models.join(", ") || "none"}${down.length ? `; down: ${down.join()}` : ""}`);
}
