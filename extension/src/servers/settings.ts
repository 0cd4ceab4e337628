/** The endpoint setting, and the keys that belong into secret storage. */

import * as vscode from "vscode";
import {
  EndpointError,
  endpointProblem,
  normalizeEndpoint,
  parseEndpoint,
  type Endpoint,
} from "./endpoint";
import type { Source } from "./modelEntry";

const SECTION = "huggingface";
const NAME = "customTGIEndpoint";
export const SETTING = `${SECTION}.${NAME}`;
const TOKEN_SECRET = "huggingface.token";
const ROUTER = "https://router.huggingface.co";

export class Settings {
  constructor(
    private readonly secrets: vscode.SecretStorage,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** The configured endpoint; undefined where the setting is blank or not a URL. */
  endpoint(): Endpoint | undefined {
    try {
      return parseEndpoint(this.text());
    } catch (error) {
      if (!(error instanceof EndpointError)) throw error;
      // The setting may hold a password: log what is wrong, not the text.
      this.log.error(`${SETTING}: ${error.message}`);
      return undefined;
    }
  }

  /** What is wrong with the setting, for the user; undefined where it can be used. */
  problem(): string | undefined {
    return endpointProblem(this.text());
  }

  /** Whether the folder names an endpoint that is ignored because the folder is not trusted. */
  isWithheld(): boolean {
    const named = vscode.workspace.getConfiguration(SECTION).inspect<unknown>(NAME)?.workspaceValue;
    return !vscode.workspace.isTrusted && typeof named === "string" && named.trim() !== "";
  }

  /** Writes the endpoint, normalized, where it takes effect: to the workspace where that names one, as
   * `stoker code --workspace` does, else to the user's settings.
   * @throws EndpointError; VS Code's error where settings cannot be written */
  async setEndpoint(text: string): Promise<void> {
    const endpoint = normalizeEndpoint(text);
    const settings = vscode.workspace.getConfiguration(SECTION);
    const ofWorkspace = settings.inspect<unknown>(NAME)?.workspaceValue;
    const { Global, Workspace } = vscode.ConfigurationTarget;
    // VS Code ignores the workspace's value in an untrusted folder.
    if (ofWorkspace !== undefined && ofWorkspace === settings.get<unknown>(NAME)) {
      await settings.update(NAME, endpoint, Workspace);
    } else await settings.update(NAME, endpoint || undefined, Global);
  }

  /** The servers to ask: none unless the user has set an endpoint or a token. */
  async sources(): Promise<Source[]> {
    const sources: Source[] = [];
    const endpoint = this.endpoint();
    if (endpoint) {
      const key = await this.secret(keySecret(endpoint));
      const authorization = key ? `Bearer ${key}` : endpoint.authorization;
      sources.push(source("", label(endpoint.base), endpoint.base, authorization));
    }
    const token = await this.secret(TOKEN_SECRET);
    if (token) sources.push(source("hf/", "Hugging Face", ROUTER, `Bearer ${token}`));
    return sources;
  }

  /** A key belongs to one endpoint and is never sent to another. An empty key removes it. */
  async setApiKey(endpoint: Endpoint, key: string): Promise<void> {
    await this.store(keySecret(endpoint), key);
  }

  async setHuggingFaceToken(token: string): Promise<void> {
    await this.store(TOKEN_SECRET, token);
  }

  /** A desktop without a keyring has no secrets: an endpoint that needs none still works. */
  private async secret(name: string): Promise<string | undefined> {
    try {
      return await this.secrets.get(name);
    } catch {
      this.log.warn("cannot read secret storage: no API key is sent");
      return undefined;
    }
  }

  private async store(name: string, value: string): Promise<void> {
    if (value.trim()) await this.secrets.store(name, value.trim());
    else await this.secrets.delete(name);
  }

  private text(): string {
    const value = vscode.workspace.getConfiguration(SECTION).get<unknown>(NAME);
    return typeof value === "string" ? value : "";
  }
}

function source(prefix: string, name: string, base: string, authorization?: string): Source {
  const headers: Record<string, string> = authorization ? { Authorization: authorization } : {};
  return { prefix, label: name, server: { base, headers } };
}

function keySecret(endpoint: Endpoint): string {
  return `key ${endpoint.base}`;
}

function label(base: string): string {
  return base.replace(/^https?:\/\//, "");
}
