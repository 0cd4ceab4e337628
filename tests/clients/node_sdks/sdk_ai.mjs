// The AI SDK with its three providers: openai-compatible and openai on chat, openai on responses,
// anthropic on messages.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool as toolOf } from "ai";
import { z } from "zod";
import { all, baseURL, hello, key, model, show, sunny, tool, tooLong, weather } from "./sdk_contract.mjs";

const openai = createOpenAI({ baseURL, apiKey: key });
const compatible = createOpenAICompatible({ name: "stoker", baseURL, apiKey: key });
const anthropic = createAnthropic({ baseURL, apiKey: key });
const tools = {
  [tool.name]: toolOf({
    description: tool.description,
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => (city === "Paris" ? sunny : "unknown"),
  }),
};

function api(from) {
  const ask = (prompt, more = {}) => ({ model: from, prompt, maxRetries: 0, ...more });
  return {
    whole: async () => (await generateText(ask(hello))).text,
    streamed: () => all(streamText(ask(hello)).textStream),
    tool: async () => {
      const done = await generateText(ask(weather, { tools, stopWhen: stepCountIs(3) }));
      const call = done.steps[0].toolCalls[0];
      return [call.toolName, call.input, done.text];
    },
    overflow: () => generateText(ask(tooLong)),
  };
}

globalThis.AI_SDK_LOG_WARNINGS = false;
await show({
  chat: api(compatible(model)),
  "openai chat": api(openai.chat(model)),
  responses: api(openai.responses(model)),
  messages: api(anthropic(model)),
});
