// The openai SDK: chat completions and responses.
import OpenAI from "openai";
import { all, baseURL, city, hello, key, model, show, sunny, tool, tooLong, weather } from "./sdk_contract.mjs";

const client = new OpenAI({ baseURL, apiKey: key, maxRetries: 0 });
const user = (content) => ({ role: "user", content });
const chat = (messages, more = {}) => client.chat.completions.create({ model, messages, ...more });
const responses = (input, more = {}) => client.responses.create({ model, input, ...more });

async function chatTool() {
  const tools = [{ type: "function", function: { ...tool, parameters: city } }];
  const said = (await chat([user(weather)], { tools })).choices[0].message;
  const call = said.tool_calls[0];
  const result = { role: "tool", tool_call_id: call.id, content: sunny };
  const after = await chat([user(weather), said, result], { tools });
  return [call.function.name, call.function.arguments, after.choices[0].message.content];
}

async function responsesTool() {
  const tools = [{ type: "function", strict: false, ...tool, parameters: city }];
  const { output } = await responses(weather, { tools });
  const call = output.find((item) => item.type === "function_call");
  const result = { type: "function_call_output", call_id: call.call_id, output: sunny };
  const after = await responses([user(weather), ...output, result], { tools });
  return [call.name, call.arguments, after.output_text];
}

await show({
  chat: {
    whole: async () => (await chat([user(hello)])).choices[0].message.content,
    streamed: async () =>
      (await all(await chat([user(hello)], { stream: true }))).map((c) => c.choices[0]?.delta.content),
    tool: chatTool,
    overflow: () => chat([user(tooLong)]),
  },
  responses: {
    whole: async () => (await responses(hello)).output_text,
    streamed: async () =>
      (await all(await responses(hello, { stream: true })))
        .filter((event) => event.type === "response.output_text.delta")
        .map((event) => event.delta),
    tool: responsesTool,
    overflow: () => responses(tooLong),
  },
});
