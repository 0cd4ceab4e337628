/** Cuts a request by a number of tokens, for one retry after a context overflow.
 *
 * The gateway truncates every request with more care; this is for servers without one in front. */

import type { ChatRequest, OpenAIMessage, ToolDefinition } from "../api/openaiTypes";

export interface Truncated {
  readonly request: ChatRequest;
  readonly droppedTools: number;
  readonly droppedMessages: number;
}

type Count = (text: string) => Promise<number>;

/** Drops tools from the end of the list (the host lists its own first), but none that the chat has
 * used; then the oldest turns, but never system messages or the last turn.
 * @param promptTokens of the whole request, as the server counted them
 * @returns undefined where that does not get below `targetTokens` */
export async function truncate(
  request: ChatRequest,
  promptTokens: number,
  targetTokens: number,
  count: Count,
): Promise<Truncated | undefined> {
  const { messages, tools = [] } = request;
  const messageTokens = await Promise.all(messages.map(({ content }) => count(JSON.stringify(content))));
  const toolTokens = await Promise.all(tools.map((tool) => count(JSON.stringify(tool))));
  // A template writes tools at greater length than JSON: tokens that no message has belong to tools.
  const perJsonToken = Math.max(1, (promptTokens - sum(messageTokens)) / Math.max(1, sum(toolTokens)));
  const excess = promptTokens - targetTokens;
  const kept = dropTools(tools, toolTokens.map((tokens) => tokens * perJsonToken), usedTools(messages), excess);
  const turns = dropTurns(messages, messageTokens, kept.excess);
  return (
    turns && {
      request: withTools({ ...request, messages: turns }, kept.tools),
      droppedTools: tools.length - kept.tools.length,
      droppedMessages: messages.length - turns.length,
    }
  );
}

function usedTools(messages: readonly OpenAIMessage[]): ReadonlySet<string> {
  const calls = messages.flatMap((message) => message.tool_calls ?? []);
  return new Set(calls.map((call) => call.function.name));
}

/** The tools that are left, and the tokens that are still too many. */
function dropTools(
  tools: readonly ToolDefinition[],
  tokens: readonly number[],
  used: ReadonlySet<string>,
  excess: number,
): { tools: ToolDefinition[]; excess: number } {
  const kept: ToolDefinition[] = [];
  let left = excess;
  for (const [at, tool] of [...tools.entries()].reverse()) {
    if (left > 0 && !used.has(tool.function.name)) left -= tokens[at] ?? 0;
    else kept.unshift(tool);
  }
  return { tools: kept, excess: left };
}

/** The messages that are left; undefined where dropping all turns but the last is not enough. */
function dropTurns(
  messages: readonly OpenAIMessage[],
  tokens: readonly number[],
  excess: number,
): OpenAIMessage[] | undefined {
  // A turn begins with a user message and includes its tool calls and their results.
  const starts = messages.flatMap((message, at) => (message.role === "user" ? [at] : []));
  const first = starts.shift() ?? 0;
  let [end, left] = [first, excess];
  for (const next of starts) {
    if (left <= 0) break;
    left -= sum(tokens.slice(end, next));
    end = next;
  }
  return left > 0 ? undefined : [...messages.slice(0, first), ...messages.slice(end)];
}

function withTools(request: ChatRequest, tools: ToolDefinition[]): ChatRequest {
  const { tools: _, tool_choice: choice, ...rest } = request;
  if (tools.length === 0) return { ...rest, model: request.model, messages: request.messages };
  const kept = { ...rest, model: request.model, messages: request.messages, tools };
  return choice === undefined ? kept : { ...kept, tool_choice: choice };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
