/** VS Code's messages and tools in the words of the OpenAI API: exactly what is sent.
 *
 * Counting prices the same values, so that what is counted is what is sent. */

import * as vscode from "vscode";
import type { Json } from "../api/narrow";

export interface WireMessage {
  role: "system" | "user" | "assistant" | "tool";
  content: string | WireContent[];
  tool_calls?: WireToolCall[];
  tool_call_id?: string;
}

export type WireContent =
  | { type: "text"; text: string }
  | { type: "image_url"; image_url: { url: string } };

export interface WireToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

export interface WireTool {
  type: "function";
  function: { name: string; description: string; parameters: object };
}

export interface ChatRequest extends Json {
  model: string;
  messages: WireMessage[];
  tools?: WireTool[];
}

/** LanguageModelChatMessageRole has no name for it yet, but hosts send it. */
const SYSTEM_ROLE = 3;
/** What a caller's model options may not change. */
const OURS = new Set(["model", "messages", "tools", "tool_choice", "stream", "stream_options"]);

export function toRequest(
  model: string,
  messages: readonly vscode.LanguageModelChatRequestMessage[],
  options: vscode.ProvideLanguageModelChatResponseOptions,
): ChatRequest {
  const request: ChatRequest = {
    model,
    messages: toWire(messages),
    stream: true,
    stream_options: { include_usage: true },
  };
  if (options.tools?.length) {
    request.tools = options.tools.map(toWireTool);
    if (options.toolMode === vscode.LanguageModelChatToolMode.Required) {
      request["tool_choice"] = "required";
    }
  }
  for (const [name, value] of Object.entries(options.modelOptions ?? {})) {
    // `_` marks what VS Code tells itself (telemetry, correlation): not for a server.
    if (!name.startsWith("_") && !OURS.has(name)) request[name] = value;
  }
  return request;
}

export function toWire(
  messages: readonly vscode.LanguageModelChatRequestMessage[],
): WireMessage[] {
  const wire: WireMessage[] = [];
  for (const message of messages.flatMap(wireMessages)) {
    const last = wire.at(-1);
    // Many chat templates refuse two messages of one role in a row.
    if (last && mergeable(last, message)) last.content = joined(last.content, message.content);
    else wire.push(message);
  }
  return wire;
}

/** One message of VS Code may hold several of the API's: each tool result is its own. */
export function wireMessages(message: vscode.LanguageModelChatRequestMessage): WireMessage[] {
  const content: WireContent[] = [];
  const calls: WireToolCall[] = [];
  const results: WireMessage[] = [];
  for (const part of message.content) {
    if (part instanceof vscode.LanguageModelToolCallPart) calls.push(toolCall(part));
    else if (part instanceof vscode.LanguageModelToolResultPart) {
      results.push({ role: "tool", tool_call_id: part.callId, content: plain(part.content) });
      content.push(...contents(part.content).filter((item) => item.type === "image_url"));
    } else content.push(...contents([part]));
  }
  if (calls.length) {
    return [{ role: "assistant", content: text(content), tool_calls: calls }];
  }
  if (content.length === 0) return results;
  return [...results, { role: roleOf(message.role), content: simplest(content) }];
}

function toWireTool(tool: vscode.LanguageModelChatTool): WireTool {
  const parameters = tool.inputSchema ?? { type: "object", properties: {} };
  return {
    type: "function",
    function: { name: tool.name, description: tool.description, parameters },
  };
}

function toolCall(part: vscode.LanguageModelToolCallPart): WireToolCall {
  return {
    id: part.callId,
    type: "function",
    function: { name: part.name, arguments: JSON.stringify(part.input ?? {}) },
  };
}

function contents(parts: readonly unknown[]): WireContent[] {
  return parts.flatMap((part): WireContent[] => {
    if (part instanceof vscode.LanguageModelTextPart) return textContent(part.value);
    if (part instanceof vscode.LanguageModelPromptTsxPart) {
      return textContent(JSON.stringify(part.value));
    }
    if (part instanceof vscode.LanguageModelDataPart) return dataContent(part);
    return typeof part === "string" ? textContent(part) : [];
  });
}

function textContent(text: string): WireContent[] {
  return text ? [{ type: "text", text }] : [];
}

/** Images and text are for the model; other data (cache marks, usage) is for VS Code itself. */
function dataContent(part: vscode.LanguageModelDataPart): WireContent[] {
  if (part.mimeType.startsWith("image/")) {
    const url = `data:${part.mimeType};base64,${base64(part.data)}`;
    return [{ type: "image_url", image_url: { url } }];
  }
  const isText = part.mimeType.startsWith("text/") || part.mimeType === "application/json";
  return isText ? textContent(new TextDecoder().decode(part.data)) : [];
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}

function plain(parts: readonly unknown[]): string {
  return text(contents(parts));
}

function text(content: readonly WireContent[]): string {
  return content.map((item) => (item.type === "text" ? item.text : "")).join("");
}

/** A string where there is only text: the one form that every server and template takes. */
function simplest(content: WireContent[]): string | WireContent[] {
  return content.every((item) => item.type === "text") ? text(content) : content;
}

function roleOf(role: number): "system" | "user" | "assistant" {
  if (role === SYSTEM_ROLE) return "system";
  return role === vscode.LanguageModelChatMessageRole.Assistant ? "assistant" : "user";
}

function mergeable(first: WireMessage, second: WireMessage): boolean {
  return (
    first.role === second.role && first.role !== "tool" && !first.tool_calls && !second.tool_calls
  );
}

function joined(
  first: string | WireContent[],
  second: string | WireContent[],
): string | WireContent[] {
  if (typeof first === "string" && typeof second === "string") return `${first}\n\n${second}`;
  const list = (part: string | WireContent[]) =>
    typeof part === "string" ? textContent(part) : part;
  return [...list(first), ...list(second)];
}
