/** Makes a request smaller by a number of tokens, for one retry after a context overflow.
 *
 * The gateway fits every request properly; this is for servers that have no gateway before them. */

import type { ChatRequest, WireMessage } from "../chat/openaiMessages";

export interface Shrunk {
  readonly request: ChatRequest;
  readonly droppedTools: number;
  readonly droppedMessages: number;
}

/** Leaves out tools from the end of the list (the host lists its own first), but none that the
 * chat has used; then the oldest turns, but never system messages or the last turn.
 * Undefined where that does not take `promptTokens`, what the server counted, down to `wanted`. */
export async function shrink(
  request: ChatRequest,
  promptTokens: number,
  wanted: number,
  count: (text: string) => Promise<number>,
): Promise<Shrunk | undefined> {
  let needed = promptTokens - wanted;
  const used = new Set(
    request.messages.flatMap((message) => message.tool_calls ?? []).map((call) => call.function.name),
  );
  const tools = [...(request.tools ?? [])];
  const sizes = await Promise.all(tools.map((tool) => count(JSON.stringify(tool))));
  const said = await Promise.all(request.messages.map((message) => sizeOf(message, count)));
  // A template writes tools at greater length than JSON: what no message takes, the tools do.
  const written = Math.max(1, (promptTokens - sum(said)) / Math.max(1, sum(sizes)));
  let droppedTools = 0;
  for (let at = tools.length - 1; at >= 0 && needed > 0; at -= 1) {
    const tool = tools[at];
    if (!tool || used.has(tool.function.name)) continue;
    needed -= (sizes[at] ?? 0) * written;
    tools.splice(at, 1);
    droppedTools += 1;
  }
  const kept = [...request.messages];
  while (needed > 0) {
    const turn = oldestTurn(kept);
    if (!turn) return undefined;
    for (const message of kept.splice(turn.from, turn.to - turn.from)) {
      needed -= await sizeOf(message, count);
    }
  }
  const { tools: _, tool_choice: choice, ...rest } = request;
  const shrunk: ChatRequest = { ...rest, model: request.model, messages: kept };
  if (tools.length) {
    shrunk.tools = tools;
    if (choice !== undefined) shrunk["tool_choice"] = choice;
  }
  return { request: shrunk, droppedTools, droppedMessages: request.messages.length - kept.length };
}

function sizeOf(message: WireMessage, count: (text: string) => Promise<number>): Promise<number> {
  return count(JSON.stringify(message.content));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** A turn begins with a user's message and goes with its tool calls and their results. */
function oldestTurn(messages: readonly WireMessage[]): { from: number; to: number } | undefined {
  const starts = messages.flatMap((message, at) => (message.role === "user" ? [at] : []));
  const [from, to] = starts;
  return from !== undefined && to !== undefined ? { from, to } : undefined;
}
