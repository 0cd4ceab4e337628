/** Suggestions off for a while. */

import * as vscode from "vscode";

const MINUTES = [5, 15, 30, 60];

export class Snooze implements vscode.Disposable {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  /** When suggestions come back, in milliseconds since 1970; undefined while they are on. */
  until: number | undefined;

  /** Asks for how long; while snoozing, offers to end it. */
  async choose(): Promise<void> {
    const { t } = vscode.l10n;
    const lengths = MINUTES.map((minutes) => ({ label: t("{0} minutes", minutes), minutes }));
    const resume = { label: t("Resume now"), minutes: 0 };
    const items = this.until === undefined ? lengths : [resume, ...lengths];
    const placeHolder = t("For how long should Stoker suggest nothing?");
    const chosen = await vscode.window.showQuickPick(items, { placeHolder });
    if (chosen) this.set(chosen.minutes);
  }

  /** @param minutes 0 ends it */
  set(minutes: number): void {
    clearTimeout(this.timer);
    this.until = minutes > 0 ? Date.now() + minutes * 60_000 : undefined;
    if (minutes > 0) this.timer = setTimeout(() => this.set(0), minutes * 60_000);
    this.changed.fire();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.changed.dispose();
  }
}
