/** The one setting, and the secrets that never go into settings. */

import * as vscode from "vscode";
import type { Source } from "./modelRegistry";
import { EndpointError, parseEndpoint, storable, type Endpoint } from "./endpoint";

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

  /** The endpoint that the setting names; undefined where it is blank or not a URL. */
  endpoint(): Endpoint | undefined {
    try {
      return parseEndpoint(this.text());
    } catch (error) {
      if (!(error instanceof EndpointError)) throw error;
      // The text may hold a password: say what is wrong, not what was written.
      this.log.error(`${SETTING}: ${error.message}`);
      return undefined;
    }
  }

  /** What is wrong with what is written, in words for a person; undefined where it can be used. */
  problem(): string | undefined {
    try {
      parseEndpoint(this.text());
      return undefined;
    } catch (error) {
      if (error instanceof EndpointError) return error.message;
      throw error;
    }
  }

  /** Whether the folder names an endpoint that is not used because the folder is not trusted. */
  isWithheld(): boolean {
    const named = vscode.workspace.getConfiguration(SECTION).inspect<unknown>(NAME)?.workspaceValue;
    return !vscode.workspace.isTrusted && typeof named === "string" && named.trim() !== "";
  }

  /** Writes the endpoint, in its plain form, where it will hold: in the workspace where that names
   * one, as `stoker code --workspace` does, else for the user.
   * @throws EndpointError; what VS Code says where settings cannot be written */
  async setEndpoint(text: string): Promise<void> {
    const endpoint = storable(text);
    const settings = vscode.workspace.getConfiguration(SECTION);
    const ofWorkspace = settings.inspect<unknown>(NAME)?.workspaceValue;
    const { Global, Workspace } = vscode.ConfigurationTarget;
    // What the workspace of an untrusted folder says does not hold.
    if (ofWorkspace !== undefined && ofWorkspace === settings.get<unknown>(NAME)) {
      await settings.update(NAME, endpoint, Workspace);
    } else await settings.update(NAME, endpoint || undefined, Global);
  }

  /** The servers to ask: none unless the person named an endpoint or added a token. */
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

  /** A key belongs to one endpoint: it is never sent to the next one. Empty forgets it. */
  async setApiKey(endpoint: Endpoint, key: string): Promise<void> {
    await this.store(keySecret(endpoint), key);
  }

  async setHuggingFaceToken(token: string): Promise<void> {
    await this.store(TOKEN_SECRET, token);
  }

  /** A desktop with no keyring has no secrets: an endpoint that needs none still works. */
  private async secret(name: string): Promise<string | undefined> {
    try {
      return await this.secrets.get(name);
    } catch {
      this.log.warn("secret storage cannot be read: no API key is sent");
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
