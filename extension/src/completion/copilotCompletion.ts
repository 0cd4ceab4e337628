/** Whether GitHub Copilot's own completions are on, as far as VS Code lets an extension see. */

import * as vscode from "vscode";
import { isObject } from "../api/narrow";

const IDS = ["GitHub.copilot", "GitHub.copilot-chat"];

export class CopilotCompletion implements vscode.Disposable {
  private isSignedIn = false;
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly subscription: vscode.Disposable;

  constructor() {
    this.subscription = vscode.authentication.onDidChangeSessions(() => void this.look());
    void this.look();
  }

  /** Copilot completes only for who is signed in, and where its own setting is not false. */
  isOnIn(languageId: string): boolean {
    if (!this.isSignedIn || !IDS.some((id) => vscode.extensions.getExtension(id))) return false;
    const enable = vscode.workspace.getConfiguration().get<unknown>("github.copilot.enable");
    if (!isObject(enable)) return true;
    return (enable[languageId] ?? enable["*"]) !== false;
  }

  dispose(): void {
    this.subscription.dispose();
    this.changed.dispose();
  }

  private async look(): Promise<void> {
    const before = this.isSignedIn;
    try {
      // Shows nothing to the user, unlike getSession.
      this.isSignedIn = (await vscode.authentication.getAccounts("github")).length > 0;
    } catch {
      this.isSignedIn = false; // An editor without GitHub sign-in.
    }
    if (this.isSignedIn !== before) this.changed.fire();
  }
}
