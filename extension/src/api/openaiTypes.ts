/** The parts of OpenAI's chat API that the extension sends, exactly as they are sent.
 * Token counting takes the same values, so that what is counted is what is sent. */

import type { Json } from "./narrow";

export interface OpenAIMessage {
  role: "system" | "user" | "assistant" | "tool";
  content: string | ContentPart[];
  tool_calls?: MessageToolCall[];
  tool_call_id?: string;
}

export type ContentPart =
  | { type: "text"; text: string }
  | { type: "image_url"; image_url: { url: string } };

export interface MessageToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

export interface ToolDefinition {
  type: "function";
  function: { name: string; description: string; parameters: object };
}

export interface ChatRequest extends Json {
  model: string;
  messages: OpenAIMessage[];
  tools?: ToolDefinition[];
}
