/** The VS Code settings that let its chat work for a user who is not signed in to GitHub.
 *
 * Without them a message opens a sign-in dialog and never reaches the model. `stoker code` writes the
 * same settings; this is for an extension that was installed by hand. Nothing is written before the
 * user agrees, and the earlier values can be restored. */

import * as vscode from "vscode";
import { messageOf, object, type Json } from "../api/narrow";

interface Wanted {
  readonly key: string;
  readonly value: unknown;
}

/** Chat itself, and the model that writes titles and commit messages (VS Code 1.139). VS Code reads the
 * first but does not register it, and an extension can write only registered settings: package.json
 * registers it. */
const CHAT: readonly Wanted[] = [
  { key: "chat.allowAnonymousAccess", value: true },
  { key: "chat.byokUtilityModelDefault", value: "mainAgent" },
];
/** The same for the Copilot harness, which runs agents outside the window (VS Code 1.139). */
const HARNESS: readonly Wanted[] = [
  { key: "chat.agentHost.byokModels.enabled", value: true },
  { key: "chat.agentHost.allowSignedOutWhenUsable", value: true },
];
const OFFERED = "chatSettings.offered";
const BEFORE = "chatSettings.before";

export class SignedOutSettings {
  constructor(
    private readonly state: Pick<vscode.Memento, "get" | "update">,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** Offers the settings, once for all windows, where they are missing and the user is not signed in.
   * They would have no effect in a folder that is not trusted. */
  async offer(): Promise<void> {
    if (!vscode.workspace.isTrusted) return;
    const wanted = missing(CHAT);
    if (wanted.length === 0 || this.state.get(OFFERED) || (await isSignedIn())) return;
    await this.state.update(OFFERED, true);
    const { t } = vscode.l10n;
    const message = t(
      "VS Code requires a GitHub sign-in before you can chat, even with your own models. These user settings remove the requirement: {0}",
      listed(wanted),
    );
    if (await clicks(message, t("Let Chat Work Without Signing In"))) await this.allow();
  }

  /** Writes what is missing; asks separately about the Copilot harness in windows that can use it. */
  async allow(): Promise<void> {
    if (!CHAT.every(isKnown)) return showUnknown();
    const wanted = missing(CHAT);
    const written = await this.write(wanted);
    const offered = canUseHarness() ? missing(HARNESS) : [];
    if (offered.length && (await agreesToHarness(offered))) written.push(...(await this.write(offered)));
    await showResult(wanted.length + offered.length === 0, written);
  }

  /** Restores the earlier values, except where they were changed since. */
  async undo(): Promise<void> {
    const before = object(this.state.get(BEFORE));
    const ours = [...CHAT, ...HARNESS].filter(
      ({ key, value }) => key in before && userValue(key) === value,
    );
    const restored: string[] = [];
    for (const { key } of ours) {
      if (await this.update(key, before[key] ?? undefined)) restored.push(key);
    }
    const left = ours.filter(({ key }) => !restored.includes(key)).map(({ key }) => [key, before[key]]);
    await this.state.update(BEFORE, left.length ? Object.fromEntries(left) : undefined);
    if (ours.length === 0) {
      await vscode.window.showInformationMessage(
        vscode.l10n.t("There is nothing to undo: no chat setting still has the value that Stoker wrote."),
      );
    } else if (restored.length) {
      await vscode.window.showInformationMessage(
        vscode.l10n.t("Your earlier settings are restored: {0}", restored.join(", ")),
      );
    }
  }

  /** @returns the keys that took effect; the user was notified of the others */
  private async write(wanted: readonly Wanted[]): Promise<string[]> {
    const written: string[] = [];
    for (const { key, value } of wanted) {
      const before: Json = object(this.state.get(BEFORE));
      const old = userValue(key) ?? null;
      if (!(await this.update(key, value))) continue;
      if (!(key in before)) await this.state.update(BEFORE, { ...before, [key]: old });
      if (vscode.workspace.getConfiguration().get(key) === value) written.push(key);
      else await warnOverruled(key);
    }
    return written;
  }

  private async update(key: string, value: unknown): Promise<boolean> {
    try {
      const { Global } = vscode.ConfigurationTarget;
      await vscode.workspace.getConfiguration().update(key, value, Global);
      this.log.info(`${key}: ${value === undefined ? "removed" : "written"}`);
      return true;
    } catch (error) {
      this.log.error(`could not write ${key}`);
      await vscode.window.showErrorMessage(
        vscode.l10n.t("Could not write {0} to your settings: {1}", key, messageOf(error)),
      );
      return false;
    }
  }
}

/** The settings that do not have their value yet; none in an editor that lacks the settings of CHAT. */
function missing(wanted: readonly Wanted[]): Wanted[] {
  const settings = vscode.workspace.getConfiguration();
  if (!CHAT.every(isKnown)) return [];
  return wanted.filter((each) => isKnown(each) && settings.get<unknown>(each.key) !== each.value);
}

/** Whether this editor has the setting at all. */
function isKnown({ key }: Wanted): boolean {
  return vscode.workspace.getConfiguration().inspect(key)?.defaultValue !== undefined;
}

function userValue(key: string): unknown {
  return vscode.workspace.getConfiguration().inspect<unknown>(key)?.globalValue;
}

/** A user who is signed in for Copilot needs none of this. Shows nothing to the user. */
async function isSignedIn(): Promise<boolean> {
  try {
    return (await vscode.authentication.getAccounts("github")).length > 0;
  } catch {
    // An editor without GitHub sign-in.
    return false;
  }
}

/** Remote windows and browsers have no bridge from an extension's models to the harness. */
function canUseHarness(): boolean {
  return vscode.env.remoteName === undefined && vscode.env.uiKind !== vscode.UIKind.Web;
}

async function agreesToHarness(wanted: readonly Wanted[]): Promise<boolean> {
  const { t } = vscode.l10n;
  const message = t(
    "The Copilot harness can use your own models without a sign-in too. It needs these user settings: {0}",
    listed(wanted),
  );
  return clicks(message, t("Allow There Too"), t("Not Now"));
}

/** Shows a message and returns whether the user clicks its first button. */
async function clicks(message: string, button: string, ...others: string[]): Promise<boolean> {
  return (await vscode.window.showInformationMessage(message, button, ...others)) === button;
}

async function showUnknown(): Promise<void> {
  await vscode.window.showInformationMessage(
    vscode.l10n.t("This version of the editor has no settings for chat without a sign-in."),
  );
}

async function showResult(hadAll: boolean, written: readonly string[]): Promise<void> {
  const { t } = vscode.l10n;
  if (hadAll) {
    await vscode.window.showInformationMessage(
      t("Nothing to change: chat already works without signing in."),
    );
    return;
  }
  if (written.length === 0) return;
  const keys = written.join(", ");
  if (missing(CHAT).length) {
    await vscode.window.showInformationMessage(t("Written to your user settings: {0}", keys));
    return;
  }
  // VS Code 1.139 applies them at once, but a window may have begun its own sign-in before.
  const message = t(
    "Chat now works without signing in: {0}. If a message still opens a sign-in, reload the window.",
    keys,
  );
  if (await clicks(message, t("Reload Window"))) {
    await vscode.commands.executeCommand("workbench.action.reloadWindow");
  }
}

async function warnOverruled(key: string): Promise<void> {
  await vscode.window.showWarningMessage(
    vscode.l10n.t(
      "{0} was written to your user settings but has no effect: your organization's policy or this folder's settings override it.",
      key,
    ),
  );
}

function listed(wanted: readonly Wanted[]): string {
  return wanted.map(({ key, value }) => `${key}: ${String(value)}`).join(", ");
}
