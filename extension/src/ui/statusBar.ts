/** The status bar item, and at most one quiet notification when an endpoint is down. */

import * as vscode from "vscode";
import { discoveryMessage, invalidEndpointMessage } from "../chat/errorMessages";
import { shortName, tooltip } from "../chat/modelInformation";
import type { Answered } from "../chat/provider";
import { unavailableMessage } from "../chat/unavailableModel";
import type { CompletionStatus } from "../completion";
import { hasModel, type ModelEntry } from "../servers/modelEntry";
import type { ModelRegistry } from "../servers/modelRegistry";
import type { Settings } from "../servers/settings";

const WARNING = new vscode.ThemeColor("statusBarItem.warningBackground");

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    "stoker.status",
    vscode.StatusBarAlignment.Right,
    90,
  );
  /** Servers whose outage was notified. */
  private readonly notified = new Set<string>();
  private lastAsked: string | undefined;
  /** The last speed that could be measured, by model. */
  private readonly speeds = new Map<string, number>();

  constructor(
    private readonly registry: ModelRegistry,
    private readonly settings: Pick<Settings, "problem" | "isWithheld">,
    private readonly completion: { readonly status: CompletionStatus | undefined },
  ) {
    this.item.name = "Stoker";
    this.update();
    this.item.show();
  }

  /** @param id of the model that a message was sent to */
  asked(id: string): void {
    this.lastAsked = id;
    this.update();
  }

  answered({ entry, result }: Answered): void {
    const { tokensPerS } = result.timing;
    // An answer that is too short to measure does not invalidate the last speed.
    if (tokensPerS) this.speeds.set(speedKey(entry), tokensPerS);
    void vscode.commands.executeCommand("setContext", "stoker.answered", true);
    this.update();
  }

  update(): void {
    const { outages, sources } = this.registry;
    const isConnected = outages.length === 0 && sources.length > 0;
    void vscode.commands.executeCommand("setContext", "stoker.connected", isConnected);
    this.notifyOutage();
    const isRestricted = !vscode.workspace.isTrusted && this.hasEndpoint();
    this.item.command = isRestricted ? "workbench.trust.manage" : "stoker.manage";
    const warning = isRestricted ? restrictedMessage() : this.warning();
    if (warning) this.showWarning("Stoker", warning);
    else if (isConnected) this.showModel();
    else this.show("$(plug) Stoker", vscode.l10n.t("No endpoint is set. Click to set one."));
  }

  dispose(): void {
    this.item.dispose();
  }

  /** Whether an endpoint is configured, even if it cannot be used. */
  private hasEndpoint(): boolean {
    const { sources } = this.registry;
    return sources.length > 0 || this.settings.problem() !== undefined || this.settings.isWithheld();
  }

  private warning(): string | undefined {
    const problem = this.settings.problem();
    if (problem) return invalidEndpointMessage(problem);
    const outage = this.registry.outages[0];
    return outage && discoveryMessage(outage.error, outage.source.label);
  }

  private showModel(): void {
    const { models, current, gone } = this.registry;
    const id = this.lastAsked;
    if (id !== undefined && gone.includes(id)) {
      this.showWarning(shortName(id), unavailableMessage(this.registry, undefined, id));
      return;
    }
    // VS Code does not reveal which model is chosen. The best guess is the model that was last asked,
    // and before any message the first, which is `local`.
    const chosen = current.find((entry) => entry.id === id) ?? current[0];
    if (!chosen || !hasModel(chosen)) {
      this.showWarning("Stoker", vscode.l10n.t("The endpoint serves no chat model."));
      return;
    }
    const tokensPerS = this.speeds.get(speedKey(chosen));
    const name = shortName(chosen.model.id);
    const speed = tokensPerS ? " " + vscode.l10n.t("{0} tokens/s", Math.round(tokensPerS)) : "";
    const connected = vscode.l10n.t("Stoker is connected: {0}{1}", name, speed);
    const { status } = this.completion;
    // A problem with completion shows here and nowhere else: the chat works all the same.
    const mark = status?.isProblem ? " $(circle-slash)" : "";
    const spoken = status ? `${connected}. ${status.text}` : connected;
    const lines = [...models.map(tooltip), ...(status ? [status.text] : [])];
    this.show(`$(check) ${name}${speed}${mark}`, lines.join("\n"), spoken);
  }

  private showWarning(name: string, message: string): void {
    this.show(`$(warning) ${name}`, message);
    this.item.backgroundColor = WARNING;
  }

  /** @param spoken what a screen reader reads aloud */
  private show(text: string, hover: string, spoken = hover): void {
    this.item.text = text;
    // A string and not Markdown: names and messages come from servers.
    this.item.tooltip = hover;
    this.item.accessibilityInformation = { label: spoken, role: "button" };
    this.item.backgroundColor = undefined;
  }

  /** Once for each server. */
  private notifyOutage(): void {
    const outage = this.registry.outages[0];
    if (!outage || this.notified.has(outage.source.label)) return;
    this.notified.add(outage.source.label);
    const message = discoveryMessage(outage.error, outage.source.label);
    const showLog = vscode.l10n.t("Show Log");
    void vscode.window.showWarningMessage(message, showLog).then((choice) => {
      if (choice === showLog) void vscode.commands.executeCommand("stoker.showLog");
    });
  }
}

function speedKey({ source, model }: ModelEntry): string {
  return `${source.server.base} ${model.id}`;
}

/** VS Code turns its own chat off in a folder that is not trusted: no model can be chosen, even if the
 * endpoint works. */
function restrictedMessage(): string {
  return vscode.l10n.t(
    "Restricted Mode: VS Code offers no models until you trust this folder. Click to manage trust.",
  );
}
