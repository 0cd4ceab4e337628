/** Facts for a bug report: no key, no credentials, no prompt. */

import * as vscode from "vscode";
import { discoveryMessage } from "../chat/errorMessages";
import { tooltip } from "../chat/modelInformation";
import type { ModelRegistry } from "../servers/modelRegistry";
import type { Settings } from "../servers/settings";

export async function copyDiagnostics(
  registry: ModelRegistry,
  settings: Settings,
  version: string,
): Promise<void> {
  await registry.entries();
  const { models, outages } = registry;
  const exact = await Promise.all(models.map(({ counter }) => counter.isExact()));
  const lines = [
    `- Stoker ${version}, ${vscode.env.appName} ${vscode.version} (${vscode.env.appHost})`,
    `- remote: ${vscode.env.remoteName ?? "none"}, language: ${vscode.env.language}`,
    `- endpoint: ${settings.endpoint()?.base ?? (settings.problem() ? "not a URL" : "unset")}`,
    `- thinking parts: ${yesNo("LanguageModelThinkingPart" in vscode)}`,
    `- tools known to the editor: ${vscode.lm.tools.length}`,
    ...outages.map(({ source, error }) => `- down: ${discoveryMessage(error, source.label)}`),
    ...models.map((entry, at) => `- ${tooltip(entry)} · exact counts: ${yesNo(exact[at] === true)}`),
  ];
  await vscode.env.clipboard.writeText(lines.join("\n") + "\n");
  await vscode.window.showInformationMessage(
    vscode.l10n.t("Diagnostics are on the clipboard. They contain no key and no chat text."),
  );
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}
