/** Exact counts in few requests, from each kind of server. */
import { afterEach, expect, test } from "vitest";
import { TokenCounter } from "../../src/tokens/tokenCounter";
import { FakeServer, fails, gatewayTokenize, type Handler, type Received } from "../support/fakeServer";

let fake: FakeServer | undefined;
afterEach(() => fake?.stop());

const MARK = "<|end|>";

/** A tokenizer whose counts depend on neighbours: words, spaces and single other characters. */
function ids(text: string): number[] {
  const pieces = text.match(/<\|end\|>|\w+|\s+|[^\w\s]/g) ?? [];
  return pieces.map((piece) => (piece === MARK ? 2 : 10 + piece.length));
}

const count = (text: string) => ids(text).length;
const asked = ({ body }: Received) => JSON.parse(body) as Record<string, unknown>;
const chatText = (messages: { content: string }[]) =>
  messages.map(({ content }) => `${MARK}${content}${MARK}`).join("\n");

const gateway = gatewayTokenize(count, (messages) => count(chatText(messages)));

const vllm: Handler = (received, response) => {
  const { prompt, messages } = asked(received);
  if (messages) {
    const text = chatText(messages as []);
    return { count: count(text), tokens: ids(text), token_strs: [MARK, "x", MARK] };
  }
  if (typeof prompt !== "string") return fails(400, {})(received, response);
  return { count: count(prompt), tokens: ids(prompt) };
};

const llama: Handler = (received) => ({ tokens: ids(String(asked(received)["content"] ?? "")) });

const TEXTS = Array.from({ length: 300 }, (_, at) => `tool ${at}: "reads" a file\n`.repeat(1 + (at % 3)));

const servers: Record<string, Record<string, Handler>> = {
  gateway: { "/tokenize": gateway },
  SGLang: {
    "/v1/tokenize": (received) => {
      const { prompt } = asked(received);
      return { count: Array.isArray(prompt) ? prompt.map(count) : count(String(prompt)) };
    },
  },
  vLLM: { "/tokenize": vllm },
  "llama.cpp": {
    "/tokenize": llama,
    "/props": () => ({ eos_token: MARK, bos_token: "" }),
    "/apply-template": (received) => ({ prompt: chatText(asked(received)["messages"] as []) }),
  },
};

test.each(Object.entries(servers))("%s: 300 texts in at most 15 requests, exact", async (_, paths) => {
  fake = await FakeServer.start(paths);
  const counter = new TokenCounter(fake.server, "m");
  const counts = await Promise.all(TEXTS.map((text) => counter.count(text)));
  expect(counts).toEqual(TEXTS.map(count));
  expect(await counter.isExact()).toBe(true);
  expect(fake.received.length).toBeLessThanOrEqual(15);
  const before = fake.received.length;
  await Promise.all(TEXTS.map((text) => counter.count(text)));
  expect(fake.received.length).toBe(before);
});

test("TGI counts one text a request, exactly", async () => {
  fake = await FakeServer.start({
    "/tokenize": (received, response) => {
      const { inputs } = asked(received);
      return inputs ? ids(String(inputs)) : fails(422, {})(received, response);
    },
  });
  const counter = new TokenCounter(fake.server, "m");
  expect(await counter.count("read a file")).toBe(5);
});

test("a text that holds the separator itself is counted on its own", async () => {
  fake = await FakeServer.start({ "/tokenize": vllm });
  const counter = new TokenCounter(fake.server, "m");
  const texts = [`a ${MARK} b`, "plain text", `${MARK}`];
  expect(await Promise.all(texts.map((text) => counter.count(text)))).toEqual(texts.map(count));
});

test("a separator that the tokenizer merges with its neighbours is not used", async () => {
  // This tokenizer eats spaces after the mark: joining would count too few.
  const eats = (text: string) => ids(text.replaceAll(`${MARK} `, MARK).replaceAll(`${MARK}\n`, MARK));
  fake = await FakeServer.start({
    "/tokenize": (received, response) => {
      const { prompt, messages } = asked(received);
      if (messages) return { count: 9, token_strs: [MARK] };
      return typeof prompt === "string" ? { tokens: eats(prompt) } : fails(400, {})(received, response);
    },
  });
  const counter = new TokenCounter(fake.server, "m");
  const texts = [" a", " b", "\n c"];
  const counts = await Promise.all(texts.map((text) => counter.count(text)));
  expect(counts).toEqual(texts.map(count));
});

test("a message costs its text and what the template adds to it", async () => {
  fake = await FakeServer.start({ "/tokenize": gateway });
  const counter = new TokenCounter(fake.server, "m");
  // Two marks and the line end between messages.
  expect(await counter.countMessages([{ role: "user", content: "read a file" }])).toBe(5 + 3);
});

test("a tool call costs its name and its arguments, as they are sent", async () => {
  fake = await FakeServer.start({ "/tokenize": gateway });
  const counter = new TokenCounter(fake.server, "m");
  const args = JSON.stringify({ text: 'a "b"\n' });
  const call = { id: "1", type: "function" as const, function: { name: "write", arguments: args } };
  const message = { role: "assistant" as const, content: "", tool_calls: [call] };
  expect(await counter.countMessages([message])).toBe(count("write") + count(args) + 3);
});

test("a server that answers a web page for every path cannot count", async () => {
  const page: Handler = (_, response) => void response.end("<html>");
  fake = await FakeServer.start({ "/tokenize": page, "/v1/tokenize": page });
  const counter = new TokenCounter(fake.server, "m");
  expect(await counter.isExact()).toBe(false);
  const asked = fake.received.length;
  expect(await counter.count("x".repeat(30))).toBe(10);
  expect(fake.received.length).toBe(asked);
});

test("without an endpoint that counts, estimates are calibrated by what prompts really cost", async () => {
  fake = await FakeServer.start({});
  const counter = new TokenCounter(fake.server, "m");
  const text = "x".repeat(1200);
  expect(await counter.count(text)).toBe(400);
  expect(await counter.isExact()).toBe(false);
  counter.calibrate(4000, 2000);
  await expect.poll(() => counter.count(text)).toBe(600);
});

test("while a server fails, counts are estimated, and it is asked again", async () => {
  let up = false;
  fake = await FakeServer.start({
    "/tokenize": (received, response) => (up ? gateway(received, response) : fails(500, {})(received, response)),
  });
  const counter = new TokenCounter(fake.server, "m");
  expect(await counter.count("a b c d")).toBe(3);
  up = true;
  expect(await counter.count("a b c d")).toBe(7);
});

test("a whole prompt is counted by the server's own template", async () => {
  fake = await FakeServer.start({ "/tokenize": gateway });
  const counter = new TokenCounter(fake.server, "m");
  const messages = [{ role: "user" as const, content: "a b" }];
  expect(await counter.countPrompt({ model: "m", messages })).toBe(5);
  const tools = [{ type: "function" as const, function: { name: "f", description: "", parameters: {} } }];
  await counter.countPrompt({ model: "m", messages, tools });
  expect(JSON.parse(fake.received.at(-1)?.body ?? "")).toEqual({ model: "m", messages, tools });
});
