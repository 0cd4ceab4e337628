/** Converts VS Code's messages and tools into an OpenAI chat request. */

import * as vscode from "vscode";
import type {
  ChatRequest,
  ContentPart,
  MessageToolCall,
  OpenAIMessage,
  ToolDefinition,
} from "../api/openaiTypes";

/** LanguageModelChatMessageRole has no name for it yet, but hosts send it. */
const SYSTEM_ROLE = 3;
/** Fields that the caller's model options cannot override. */
const FIXED_FIELDS = new Set(["model", "messages", "tools", "tool_choice", "stream", "stream_options"]);

export function toRequest(
  model: string,
  messages: readonly vscode.LanguageModelChatRequestMessage[],
  options: vscode.ProvideLanguageModelChatResponseOptions,
): ChatRequest {
  const request: ChatRequest = {
    model,
    messages: toMessages(messages),
    stream: true,
    stream_options: { include_usage: true },
  };
  if (options.tools?.length) {
    request.tools = options.tools.map(toToolDefinition);
    if (options.toolMode === vscode.LanguageModelChatToolMode.Required) {
      request["tool_choice"] = "required";
    }
  }
  for (const [name, value] of Object.entries(options.modelOptions ?? {})) {
    // VS Code marks its own options (telemetry, correlation) with `_`: servers must not get them.
    if (!name.startsWith("_") && !FIXED_FIELDS.has(name)) request[name] = value;
  }
  return request;
}

export function toMessages(
  messages: readonly vscode.LanguageModelChatRequestMessage[],
): OpenAIMessage[] {
  const converted: OpenAIMessage[] = [];
  for (const message of messages.flatMap(messagesOf)) {
    const last = converted.at(-1);
    // Many chat templates refuse two messages of one role in a row.
    if (last && canMerge(last, message)) last.content = merged(last.content, message.content);
    else converted.push(message);
  }
  return converted;
}

/** The OpenAI messages of one VS Code message: each tool result is a message of its own. */
export function messagesOf(message: vscode.LanguageModelChatRequestMessage): OpenAIMessage[] {
  const content: ContentPart[] = [];
  const calls: MessageToolCall[] = [];
  const results: OpenAIMessage[] = [];
  for (const part of message.content) {
    if (part instanceof vscode.LanguageModelToolCallPart) calls.push(toToolCall(part));
    else if (part instanceof vscode.LanguageModelToolResultPart) {
      const parts = contentParts(part.content);
      results.push({ role: "tool", tool_call_id: part.callId, content: textOf(parts) });
      content.push(...parts.filter((item) => item.type === "image_url"));
    } else content.push(...contentParts([part]));
  }
  if (calls.length) {
    return [{ role: "assistant", content: textOf(content), tool_calls: calls }];
  }
  if (content.length === 0) return results;
  return [...results, { role: roleOf(message.role), content: simplified(content) }];
}

function toToolDefinition(tool: vscode.LanguageModelChatTool): ToolDefinition {
  const parameters = tool.inputSchema ?? { type: "object", properties: {} };
  return {
    type: "function",
    function: { name: tool.name, description: tool.description, parameters },
  };
}

function toToolCall(part: vscode.LanguageModelToolCallPart): MessageToolCall {
  return {
    id: part.callId,
    type: "function",
    function: { name: part.name, arguments: JSON.stringify(part.input ?? {}) },
  };
}

function contentParts(parts: readonly unknown[]): ContentPart[] {
  return parts.flatMap((part): ContentPart[] => {
    if (part instanceof vscode.LanguageModelTextPart) return textParts(part.value);
    if (part instanceof vscode.LanguageModelPromptTsxPart) {
      return textParts(JSON.stringify(part.value));
    }
    if (part instanceof vscode.LanguageModelDataPart) return dataParts(part);
    return typeof part === "string" ? textParts(part) : [];
  });
}

function textParts(text: string): ContentPart[] {
  return text ? [{ type: "text", text }] : [];
}

/** Images and text are for the model; other data (cache markers, usage) is VS Code's own. */
function dataParts(part: vscode.LanguageModelDataPart): ContentPart[] {
  if (part.mimeType.startsWith("image/")) {
    const url = `data:${part.mimeType};base64,${base64(part.data)}`;
    return [{ type: "image_url", image_url: { url } }];
  }
  const isText = part.mimeType.startsWith("text/") || part.mimeType === "application/json";
  return isText ? textParts(new TextDecoder().decode(part.data)) : [];
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}

function textOf(content: readonly ContentPart[]): string {
  return content.map((item) => (item.type === "text" ? item.text : "")).join("");
}

/** A string where there is only text: the one form that every server and template accepts. */
function simplified(content: ContentPart[]): string | ContentPart[] {
  return content.every((item) => item.type === "text") ? textOf(content) : content;
}

function roleOf(role: number): "system" | "user" | "assistant" {
  if (role === SYSTEM_ROLE) return "system";
  return role === vscode.LanguageModelChatMessageRole.Assistant ? "assistant" : "user";
}

function canMerge(first: OpenAIMessage, second: OpenAIMessage): boolean {
  return (
    first.role === second.role && first.role !== "tool" && !first.tool_calls && !second.tool_calls
  );
}

function merged(
  first: string | ContentPart[],
  second: string | ContentPart[],
): string | ContentPart[] {
  if (typeof first === "string" && typeof second === "string") return `${first}\n\n${second}`;
  const list = (part: string | ContentPart[]) => (typeof part === "string" ? textParts(part) : part);
  return [...list(first), ...list(second)];
}
