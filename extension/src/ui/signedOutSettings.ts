/** The settings of VS Code that let its chat work for a person who has not signed in to GitHub.
 *
 * Without them a question opens a sign-in and never reaches the model, however well it is served.
 * `stoker code` writes the same; this is for an extension that was installed by hand. Nothing is
 * written before the person says so, and what was there before can be had back. */

import * as vscode from "vscode";
import { object, type Json } from "../api/narrow";

interface Wanted {
  readonly key: string;
  readonly value: unknown;
}

/** Chat itself, and who writes titles and commit messages (VS Code 1.139). VS Code reads the first
 * but does not register it, and an extension can write only what is registered: the manifest does. */
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

export class SignedOut {
  constructor(
    private readonly state: Pick<vscode.Memento, "get" | "update">,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** Offers the settings, once for all windows, where they are missing and no one is signed in. In
   * a folder that is not trusted they would change nothing. */
  async offer(): Promise<void> {
    if (!vscode.workspace.isTrusted) return;
    const wanted = missing(CHAT);
    if (wanted.length === 0 || this.state.get(OFFERED) || (await isSignedIn())) return;
    await this.state.update(OFFERED, true);
    const allow = vscode.l10n.t("Let Chat Work Without Signing In");
    const chosen = await vscode.window.showInformationMessage(
      vscode.l10n.t(
        "VS Code asks for a GitHub sign-in before you can chat, also with your own models. It does not with these user settings: {0}",
        listed(wanted),
      ),
      allow,
    );
    if (chosen === allow) await this.allow();
  }

  /** Writes what is missing; asks apart about the Copilot harness, where windows can use it. */
  async allow(): Promise<void> {
    if (!CHAT.every(has)) return tellUnknown();
    const wanted = missing(CHAT);
    const written = await this.write(wanted);
    const offered = canUseHarness() ? missing(HARNESS) : [];
    if (offered.length && (await asksForHarness(offered))) written.push(...(await this.write(offered)));
    await tellResult(wanted.length + offered.length === 0, written);
  }

  /** Gives back what was there before, except where it was changed since. */
  async undo(): Promise<void> {
    const before = object(this.state.get(BEFORE));
    const ours = [...CHAT, ...HARNESS].filter(({ key, value }) => key in before && userValue(key) === value);
    const done: string[] = [];
    for (const { key } of ours) {
      if (await this.update(key, before[key] ?? undefined)) done.push(key);
    }
    const left = ours.filter(({ key }) => !done.includes(key)).map(({ key }) => [key, before[key]]);
    await this.state.update(BEFORE, left.length ? Object.fromEntries(left) : undefined);
    if (ours.length === 0) {
      await vscode.window.showInformationMessage(
        vscode.l10n.t("Stoker has written no chat settings that are still there."),
      );
    } else if (done.length) {
      await vscode.window.showInformationMessage(
        vscode.l10n.t("Your earlier settings are back: {0}", done.join(", ")),
      );
    }
  }

  /** The keys that hold now. What could not be written has been told. */
  private async write(wanted: readonly Wanted[]): Promise<string[]> {
    const written: string[] = [];
    for (const { key, value } of wanted) {
      const before: Json = object(this.state.get(BEFORE));
      const old = userValue(key) ?? null;
      if (!(await this.update(key, value))) continue;
      if (!(key in before)) await this.state.update(BEFORE, { ...before, [key]: old });
      if (vscode.workspace.getConfiguration().get(key) === value) written.push(key);
      else await tellOverruled(key);
    }
    return written;
  }

  private async update(key: string, value: unknown): Promise<boolean> {
    try {
      const { Global } = vscode.ConfigurationTarget;
      await vscode.workspace.getConfiguration().update(key, value, Global);
      this.log.info(`${key}: ${value === undefined ? "taken back" : "written"}`);
      return true;
    } catch (error) {
      this.log.error(`${key} could not be written`);
      const reason = error instanceof Error ? error.message : String(error);
      await vscode.window.showErrorMessage(
        vscode.l10n.t("{0} could not be written to your settings: {1}", key, reason),
      );
      return false;
    }
  }
}

/** What does not hold yet. Of an editor without the second setting of chat nothing is known. */
function missing(wanted: readonly Wanted[]): Wanted[] {
  const settings = vscode.workspace.getConfiguration();
  if (!CHAT.every(has)) return [];
  return wanted.filter((each) => has(each) && settings.get<unknown>(each.key) !== each.value);
}

/** Whether this editor has the setting at all. */
function has({ key }: Wanted): boolean {
  return vscode.workspace.getConfiguration().inspect(key)?.defaultValue !== undefined;
}

function userValue(key: string): unknown {
  return vscode.workspace.getConfiguration().inspect<unknown>(key)?.globalValue;
}

/** Who is signed in for Copilot needs none of this. Nothing is asked of the person. */
async function isSignedIn(): Promise<boolean> {
  try {
    return (await vscode.authentication.getAccounts("github")).length > 0;
  } catch {
    // An editor without GitHub's sign-in.
    return false;
  }
}

/** Remote windows and browsers have no bridge from an extension's models to the harness. */
function canUseHarness(): boolean {
  return vscode.env.remoteName === undefined && vscode.env.uiKind !== vscode.UIKind.Web;
}

async function asksForHarness(wanted: readonly Wanted[]): Promise<boolean> {
  const allow = vscode.l10n.t("Allow There Too");
  const chosen = await vscode.window.showInformationMessage(
    vscode.l10n.t(
      "The Copilot harness can use your own models without a sign-in too. It needs these user settings: {0}",
      listed(wanted),
    ),
    allow,
    vscode.l10n.t("Not Now"),
  );
  return chosen === allow;
}

async function tellUnknown(): Promise<void> {
  await vscode.window.showInformationMessage(
    vscode.l10n.t("This version of the editor has no settings for chat without a sign-in."),
  );
}

async function tellResult(hadAll: boolean, written: readonly string[]): Promise<void> {
  const { t } = vscode.l10n;
  if (hadAll) {
    await vscode.window.showInformationMessage(t("Nothing is missing: chat works without signing in."));
    return;
  }
  if (written.length === 0) return;
  const keys = written.join(", ");
  if (missing(CHAT).length) {
    await vscode.window.showInformationMessage(t("Written to your user settings: {0}", keys));
    return;
  }
  const reload = t("Reload Window");
  // VS Code 1.139 takes them over at once; a window may have begun its own sign-in before.
  const chosen = await vscode.window.showInformationMessage(
    t(
      "Chat now works without signing in: {0}. Should a question still open a sign-in, reload the window.",
      keys,
    ),
    reload,
  );
  if (chosen === reload) await vscode.commands.executeCommand("workbench.action.reloadWindow");
}

async function tellOverruled(key: string): Promise<void> {
  await vscode.window.showWarningMessage(
    vscode.l10n.t(
      "{0} is written to your user settings and does not hold: your organization's policy or the settings of this folder decide over it.",
      key,
    ),
  );
}

function listed(wanted: readonly Wanted[]): string {
  return wanted.map(({ key, value }) => `${key}: ${String(value)}`).join(", ");
}
