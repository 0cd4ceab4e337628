/** Asks the user for the endpoint, its API key and the Hugging Face token. */

import * as vscode from "vscode";
import { messageOf } from "../api/narrow";
import { endpointProblem } from "../servers/endpoint";
import type { ModelRegistry } from "../servers/modelRegistry";
import type { Settings } from "../servers/settings";

export async function setEndpoint(settings: Settings): Promise<void> {
  const shown = settings.endpoint()?.base ?? "";
  const text = await vscode.window.showInputBox({
    title: vscode.l10n.t("The address of your model server"),
    prompt: vscode.l10n.t("For example http://localhost:8080. Leave it empty to disconnect."),
    value: shown,
    ignoreFocusOut: true,
    validateInput: endpointProblem,
  });
  // Credentials in the setting are not shown, and kept unless the address changes.
  if (text === undefined || (shown && text.trim() === shown)) return;
  try {
    await settings.setEndpoint(text);
  } catch (error) {
    await vscode.window.showErrorMessage(
      vscode.l10n.t("Could not write the endpoint to your settings: {0}", messageOf(error)),
    );
  }
}

export async function setApiKey(settings: Settings, registry: ModelRegistry): Promise<void> {
  const endpoint = settings.endpoint();
  if (!endpoint) {
    await vscode.window.showInformationMessage(
      vscode.l10n.t("Set the endpoint first: an API key belongs to one endpoint."),
    );
    return;
  }
  const key = await askSecret(
    vscode.l10n.t("API key for {0}", endpoint.base),
    vscode.l10n.t("Stored in secret storage. Leave it empty to remove the key."),
  );
  if (key === undefined) return;
  await settings.setApiKey(endpoint, key);
  await registry.reset();
}

export async function setHuggingFaceToken(
  settings: Settings,
  registry: ModelRegistry,
): Promise<void> {
  const token = await askSecret(
    vscode.l10n.t("Hugging Face token"),
    vscode.l10n.t(
      "Adds the models of Hugging Face's Inference Providers. Leave it empty to remove them.",
    ),
  );
  if (token === undefined) return;
  await settings.setHuggingFaceToken(token);
  await registry.reset();
}

async function askSecret(title: string, prompt: string): Promise<string | undefined> {
  return vscode.window.showInputBox({ title, prompt, password: true, ignoreFocusOut: true });
}
