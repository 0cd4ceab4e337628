/** The status bar item, and at most one quiet notification when an endpoint is down. */

import * as vscode from "vscode";
import { hasModel, type Catalog, type Offer } from "../servers/modelRegistry";
import { discoveryMessage, invalidEndpointMessage } from "../chat/errorMessages";
import { shortName, tooltip, whyMissing, type Answered } from "../chat/provider";
import type { Settings } from "../servers/settings";

const WARNING = new vscode.ThemeColor("statusBarItem.warningBackground");

export class Status implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    "stoker.status",
    vscode.StatusBarAlignment.Right,
    90,
  );
  private readonly told = new Set<string>();
  private lastAsked: string | undefined;
  /** The last speed that could be measured, by model. */
  private readonly speeds = new Map<string, number>();

  constructor(
    private readonly catalog: Catalog,
    private readonly settings: Pick<Settings, "problem" | "isWithheld">,
  ) {
    this.item.name = "Stoker";
    this.update();
    this.item.show();
  }

  asked(id: string): void {
    this.lastAsked = id;
    this.update();
  }

  answered({ offer, result }: Answered): void {
    const { tokensPerS } = result.timing;
    // An answer that is too short for a speed says nothing against the last one that was not.
    if (tokensPerS) this.speeds.set(speedKey(offer), tokensPerS);
    void vscode.commands.executeCommand("setContext", "stoker.answered", true);
    this.update();
  }

  update(): void {
    const { outages, sources } = this.catalog;
    const connected = outages.length === 0 && sources.length > 0;
    void vscode.commands.executeCommand("setContext", "stoker.connected", connected);
    const outage = outages[0];
    const down = outage && discoveryMessage(outage.error, outage.source.label);
    if (outage && down) this.tellOnce(outage.source.label, down);
    const problem = this.settings.problem();
    const isWanted = sources.length > 0 || problem !== undefined || this.settings.isWithheld();
    const isRestricted = isWanted && !vscode.workspace.isTrusted;
    const wrong = isRestricted ? restricted() : problem ? invalidEndpointMessage(problem) : down;
    this.item.command = isRestricted ? "workbench.trust.manage" : "stoker.manage";
    this.item.backgroundColor = wrong ? WARNING : undefined;
    if (wrong) this.show("$(warning) Stoker", wrong, wrong);
    else if (connected) this.showModel();
    else {
      const hint = vscode.l10n.t("No endpoint is set. Click to set one.");
      this.show("$(plug) Stoker", hint, hint);
    }
  }

  dispose(): void {
    this.item.dispose();
  }

  private showModel(): void {
    const { models, current, gone } = this.catalog;
    const id = this.lastAsked;
    if (id !== undefined && gone.includes(id)) {
      const why = whyMissing(this.catalog, undefined, id);
      this.show(`$(warning) ${shortName(id)}`, why, why);
      this.item.backgroundColor = WARNING;
      return;
    }
    // What the person has chosen, as far as VS Code lets it be known: the model that was last asked,
    // and before that the first, which is `local`.
    const chosen = current.find((offer) => offer.id === id) ?? current[0];
    if (!chosen || !hasModel(chosen)) {
      const none = vscode.l10n.t("The endpoint offers no model.");
      this.show("$(warning) Stoker", none, none);
      return;
    }
    const tokensPerS = this.speeds.get(speedKey(chosen));
    const name = shortName(chosen.model.id);
    const speed = tokensPerS ? " " + vscode.l10n.t("{0} tokens/s", Math.round(tokensPerS)) : "";
    const spoken = vscode.l10n.t("Stoker is connected: {0}{1}", name, speed);
    this.show(`$(check) ${name}${speed}`, models.map(tooltip).join("\n"), spoken);
  }

  private show(text: string, hover: string, spoken: string): void {
    this.item.text = text;
    // A string and not Markdown: names and messages come from servers.
    this.item.tooltip = hover;
    this.item.accessibilityInformation = { label: spoken, role: "button" };
  }

  private tellOnce(label: string, message: string): void {
    if (this.told.has(label)) return;
    this.told.add(label);
    const showLog = vscode.l10n.t("Show Log");
    void vscode.window.showWarningMessage(message, showLog).then((choice) => {
      if (choice === showLog) void vscode.commands.executeCommand("stoker.showLog");
    });
  }
}

function speedKey({ source, model }: Offer): string {
  return `${source.server.base} ${model.id}`;
}

/** In a folder that is not trusted VS Code switches its own chat off: no model can be chosen, however
 * well the endpoint works. */
function restricted(): string {
  return vscode.l10n.t(
    "Restricted Mode: VS Code offers no models until you trust this folder. Click to manage trust.",
  );
}
