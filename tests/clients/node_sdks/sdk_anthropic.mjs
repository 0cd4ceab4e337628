// @anthropic-ai/sdk: messages.
import Anthropic from "@anthropic-ai/sdk";
import { city, endpoint, hello, key, model, show, sunny, tool, tooLong, weather, all } from "./sdk_contract.mjs";

const client = new Anthropic({ baseURL: endpoint, apiKey: key, maxRetries: 0 });
const user = (content) => ({ role: "user", content });
const request = (messages, more = {}) => ({ model, max_tokens: 500, messages, ...more });
const ask = (messages, more) => client.messages.create(request(messages, more));

async function called() {
  const tools = [{ ...tool, input_schema: city }];
  const said = await ask([user(weather)], { tools });
  const call = said.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: call.id, content: sunny };
  const assistant = { role: "assistant", content: said.content };
  const after = await ask([user(weather), assistant, user([result])], { tools });
  return [call.name, call.input, after.content[0].text];
}

await show({
  messages: {
    whole: async () => (await ask([user(hello)])).content[0].text,
    streamed: async () =>
      (await all(client.messages.stream(request([user(hello)]))))
        .filter((event) => event.type === "content_block_delta")
        .map((event) => event.delta.text),
    tool: called,
    overflow: () => ask([user(tooLong)]),
  },
});
