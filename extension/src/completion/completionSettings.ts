/** The user's settings for completion. They may differ from language to language. */

import * as vscode from "vscode";
import { array, positive, string } from "../api/narrow";

export const COMPLETION_SECTION = "stoker.completion";

export interface LanguageSettings {
  readonly isEnabled: boolean;
  readonly inComments: boolean;
  readonly multiline: boolean;
  readonly maxTokens: number;
}

const DEFAULT_MAX_TOKENS = 128;

export class CompletionSettings {
  /** By language and folder: reading a setting costs more than a key press may. */
  private byLanguage = new Map<string, LanguageSettings>();

  /** To be called where a setting has changed. */
  reread(): void {
    this.byLanguage.clear();
  }

  of({ languageId, uri }: Pick<vscode.TextDocument, "languageId" | "uri">): LanguageSettings {
    const key = `${languageId} ${vscode.workspace.getWorkspaceFolder(uri)?.index ?? ""}`;
    const known = this.byLanguage.get(key);
    if (known) return known;
    const read = vscode.workspace.getConfiguration(COMPLETION_SECTION, { languageId, uri });
    const settings = {
      isEnabled: read.get<unknown>("enabled") !== false,
      inComments: read.get<unknown>("inComments") === true,
      multiline: read.get<unknown>("multiline") !== false,
      maxTokens: positive(read.get<unknown>("maxTokens")) ?? DEFAULT_MAX_TOKENS,
    };
    this.byLanguage.set(key, settings);
    return settings;
  }

  /** The model that the user names; undefined where Stoker chooses. */
  get model(): string | undefined {
    return string(this.all.get<unknown>("model"));
  }

  /** Patterns of files that are never sent. */
  get exclude(): string[] {
    return array(this.all.get<unknown>("exclude")).flatMap((pattern) => string(pattern) ?? []);
  }

  get gitIgnored(): boolean {
    return this.all.get<unknown>("gitIgnored") === true;
  }

  get warmsUp(): boolean {
    return this.all.get<unknown>("warmUp") !== false;
  }

  get nextEdit(): boolean {
    return this.all.get<unknown>("nextEdit") === true;
  }

  get besideCopilot(): boolean {
    return this.all.get<unknown>("besideCopilot") === true;
  }

  private get all(): vscode.WorkspaceConfiguration {
    return vscode.workspace.getConfiguration(COMPLETION_SECTION);
  }
}
