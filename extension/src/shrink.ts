/** Makes a request smaller by a number of tokens, for one retry after a context overflow.
 *
 * The gateway fits every request properly; this is for servers that have no gateway before them. */

import type { ChatRequest, WireMessage } from "./wire";

export interface Shrunk {
  readonly request: ChatRequest;
  readonly droppedTools: number;
  readonly droppedMessages: number;
}

/** Leaves out tools from the end of the list (the host lists its own first), but none that the
 * chat has used; then the oldest turns, but never system messages or the last turn.
 * Undefined where that does not free `tokens`. */
export async function shrink(
  request: ChatRequest,
  tokens: number,
  count: (text: string) => Promise<number>,
): Promise<Shrunk | undefined> {
  let needed = tokens;
  const used = new Set(
    request.messages.flatMap((message) => message.tool_calls ?? []).map((call) => call.function.name),
  );
  const tools = [...(request.tools ?? [])];
  const sizes = await Promise.all(tools.map((tool) => count(JSON.stringify(tool))));
  let droppedTools = 0;
  for (let at = tools.length - 1; at >= 0 && needed > 0; at -= 1) {
    const tool = tools[at];
    if (!tool || used.has(tool.function.name)) continue;
    needed -= sizes[at] ?? 0;
    tools.splice(at, 1);
    droppedTools += 1;
  }
  const kept = [...request.messages];
  while (needed > 0) {
    const turn = oldestTurn(kept);
    if (!turn) return undefined;
    for (const message of kept.splice(turn.from, turn.to - turn.from)) {
      needed -= await count(JSON.stringify(message.content));
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

/** A turn begins with a user's message and goes with its tool calls and their results. */
function oldestTurn(messages: readonly WireMessage[]): { from: number; to: number } | undefined {
  const starts = messages.flatMap((message, at) => (message.role === "user" ? [at] : []));
  const [from, to] = starts;
  return from !== undefined && to !== undefined ? { from, to } : undefined;
}
