/** The status bar item, and at most one quiet notification when an endpoint is down. */

import * as vscode from "vscode";
import type { Catalog } from "./catalog";
import { discoveryMessage } from "./failures";
import { tooltip, type Answered } from "./provider";

export class Status implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    "stoker.status",
    vscode.StatusBarAlignment.Right,
    90,
  );
  private readonly told = new Set<string>();
  private last: Answered | undefined;

  constructor(private readonly catalog: Catalog) {
    this.item.name = "Stoker";
    this.item.command = "stoker.manage";
    this.update();
    this.item.show();
  }

  answered(answered: Answered): void {
    this.last = answered;
    void vscode.commands.executeCommand("setContext", "stoker.answered", true);
    this.update();
  }

  update(): void {
    const { outages } = this.catalog;
    const outage = outages[0];
    const connected = !outage && this.catalog.sources.length > 0;
    void vscode.commands.executeCommand("setContext", "stoker.connected", connected);
    if (outage) {
      const message = discoveryMessage(outage.error, outage.source.label);
      this.show("$(warning) Stoker", message, message);
      this.item.backgroundColor = new vscode.ThemeColor("statusBarItem.warningBackground");
      this.tellOnce(outage.source.label, message);
      return;
    }
    this.item.backgroundColor = undefined;
    if (connected) this.showModel();
    else {
      const hint = vscode.l10n.t("No endpoint is set. Click to set one.");
      this.show("$(plug) Stoker", hint, hint);
    }
  }

  dispose(): void {
    this.item.dispose();
  }

  private showModel(): void {
    const offers = this.catalog.current;
    const offer = offers.find(({ id }) => id === this.last?.offer.id) ?? offers[0];
    if (!offer) {
      const none = vscode.l10n.t("The endpoint offers no model.");
      this.show("$(warning) Stoker", none, none);
      return;
    }
    const measured = this.last?.offer.id === offer.id ? this.last.result.timing : undefined;
    const tokensPerS = measured?.tokensPerS ?? offer.model.tokensPerS;
    const name = offer.model.id.split("/").at(-1) || offer.model.id;
    const speed = tokensPerS ? " " + vscode.l10n.t("{0} tokens/s", Math.round(tokensPerS)) : "";
    const spoken = vscode.l10n.t("Stoker is connected: {0}{1}", name, speed);
    this.show(`$(check) ${name}${speed}`, offers.map(tooltip).join("\n"), spoken);
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
