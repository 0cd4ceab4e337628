/** Scenarios of a chat completion, each over a real HTTP connection. */
import { afterEach, describe, expect, test } from "vitest";
import { chat } from "../../src/chat/chatCompletion";
import { ConnectionError } from "../../src/api/apiClient";
import { ChatFailure, toChatFailure } from "../../src/chat/chatFailure";
import type { Sink } from "../../src/chat/responseAccumulator";
import type { ChatRequest } from "../../src/api/openaiTypes";
import { calls, FakeServer, fails, finish, json, streams, text, thinks, usage, type Handler } from "../support/fakeServer";

const request: ChatRequest = { model: "m", messages: [{ role: "user", content: "hi" }], stream: true };
let fake: FakeServer | undefined;
afterEach(() => fake?.stop());

async function run(handler: Handler, options: { signal?: AbortSignal; request?: ChatRequest } = {}) {
  fake = await FakeServer.start({ "/v1/chat/completions": handler });
  const parts: string[] = [];
  const sink: Sink = {
    text: (part) => parts.push(part),
    thinking: (part) => parts.push(`(${part})`),
    toolCall: (call, input) => parts.push(`${call.name}#${call.id}${JSON.stringify(input)}`),
  };
  const signal = options.signal ?? new AbortController().signal;
  try {
    return { parts, result: await chat(fake.server, options.request ?? request, sink, signal) };
  } catch (error) {
    return { parts, error };
  }
}

async function failure(handler: Handler): Promise<ChatFailure> {
  const { error } = await run(handler);
  expect(error).toBeInstanceOf(ChatFailure);
  return error as ChatFailure;
}

test("text arrives part by part, with usage", async () => {
  const { parts, result } = await run(
    streams(text("Hel"), text("lo"), finish("stop"), usage(7, 2), "[DONE]"),
  );
  expect(parts).toEqual(["Hel", "lo"]);
  expect(result?.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 2 });
});

test("the engine's own speed is used where it reports one", async () => {
  const timings = { choices: [], timings: { predicted_per_second: 41.5, predicted_n: 30 } };
  const { result } = await run(streams(text("all at once"), finish("stop"), usage(7, 30), timings));
  expect(result?.timing.tokensPerS).toBe(41.5);
});

test("an answer in one piece has no speed", async () => {
  const whole: Handler = (_, response) =>
    json(response, { ...usage(7, 500), choices: [{ message: { content: "word ".repeat(500) }, finish_reason: "stop" }] });
  for (const handler of [whole, streams(text("word ".repeat(500)), finish("stop"), usage(7, 500))]) {
    const { result } = await run(handler);
    expect(result?.timing).toMatchObject({ outputTokens: 500, tokensPerS: undefined });
    await fake?.stop();
  }
});

test("thinking is separate from text, under both names that servers use", async () => {
  const { parts } = await run(
    streams(thinks("hm"), { choices: [{ delta: { reasoning: "so" } }] }, text("42"), finish("stop")),
  );
  expect(parts).toEqual(["(hm)", "(so)", "42"]);
});

test("parallel tool calls come after the text, in order", async () => {
  const { parts } = await run(
    streams(
      text("Let me see."),
      calls({ index: 0, id: "a", function: { name: "read", arguments: '{"f":' } }),
      calls({ index: 1, id: "b", function: { name: "list", arguments: "{}" } }),
      calls({ index: 0, function: { arguments: '"x"}' } }),
      finish("tool_calls"),
      "[DONE]",
    ),
  );
  expect(parts).toEqual(["Let me see.", 'read#a{"f":"x"}', "list#b{}"]);
});

test("an answer that is not streamed is accepted", async () => {
  const { parts } = await run((_, response) =>
    json(response, { choices: [{ message: { content: "whole" }, finish_reason: "stop" }] }),
  );
  expect(parts).toEqual(["whole"]);
});

test("the first token is handed over before the second arrives", async () => {
  let handedOver = (): void => {};
  const seen = new Promise<void>((resolve) => (handedOver = resolve));
  fake = await FakeServer.start({
    "/v1/chat/completions": async (_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(`data: ${JSON.stringify(text("x"))}\n\n`);
      await seen;
      response.end(`data: ${JSON.stringify(finish("stop"))}\n\ndata: [DONE]\n\n`);
    },
  });
  const sink: Sink = { text: handedOver, thinking: () => {}, toolCall: () => {} };
  const { finishReason } = await chat(fake.server, request, sink, new AbortController().signal);
  expect(finishReason).toBe("stop");
});

test("cancelling closes the connection, so that the server can stop", async () => {
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 50);
  const endless: Handler = async (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    while (!response.destroyed) {
      response.write(`data: ${JSON.stringify(text("x"))}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const { error } = await run(endless, { signal: abort.signal });
  expect((error as Error).name).toBe("AbortError");
  await expect.poll(() => fake?.aborted).toBe(1);
});

/** A stream that only the client can end. */
const endlessAfter =
  (first: string): Handler =>
  async (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(`data: ${first}\n\n`);
    while (!response.destroyed) {
      response.write(`data: ${JSON.stringify(text("x"))}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };

test.each(["{not json", '{"error": {"message": "no", "code": 500}}'])(
  "a stream that fails with %s is closed, so that the server can stop",
  async (bad) => {
    expect((await failure(endlessAfter(bad))).kind).toBe(bad === "{not json" ? "dropped" : "serverError");
    await expect.poll(() => fake?.aborted, { timeout: 10_000 }).toBe(1);
  },
);

test("a stream that continues after [DONE] is closed too", async () => {
  const endless = endlessAfter(`${JSON.stringify(text("x"))}\n\ndata: [DONE]`);
  expect((await run(endless)).parts).toEqual(["x"]);
  await expect.poll(() => fake?.aborted, { timeout: 10_000 }).toBe(1);
});

test("an answer without text is a failure, and one with only thinking another", async () => {
  expect((await failure(streams(text("\n"), finish("stop"), "[DONE]"))).kind).toBe("empty");
  await fake?.stop();
  expect((await failure(streams(thinks("…"), finish("length")))).kind).toBe("onlyThinking");
});

test("an empty answer is accepted where the caller limited its length", async () => {
  const { result } = await run(streams(finish("length"), "[DONE]"), {
    request: { ...request, max_tokens: 1 },
  });
  expect(result?.finishReason).toBe("length");
});

test("a stream that breaks off is dropped, whether the connection is cut or just ends", async () => {
  expect((await failure(streams(text("Hel"), 20, "cut"))).kind).toBe("dropped");
  await fake?.stop();
  expect((await failure(streams(text("Hel")))).kind).toBe("dropped");
  await fake?.stop();
  expect((await failure(streams(text("Hel"), "{not json"))).kind).toBe("dropped");
});

describe("an answer that was cut off in a call", () => {
  const tools = [
    tool("read_file", { required: ["path", "lines"] }),
    tool("list_all", {}),
  ];
  function tool(name: string, parameters: object) {
    return { type: "function" as const, function: { name, description: "", parameters } };
  }
  const call = (name: string, args?: string, index = 0) =>
    calls({ index, id: `c${index}`, function: { name, ...(args !== undefined && { arguments: args }) } });
  const ran = (...items: Parameters<typeof streams>) =>
    run(streams(...items), { request: { ...request, tools } });

  test.each([
    ["vLLM's empty object", call("read_file", "{}")],
    ["no arguments at all", call("read_file")],
    ["empty arguments", call("read_file", "")],
    ["half an object", call("read_file", '{"path": "a')],
    ["an object without every required key", call("read_file", '{"path": "a"}')],
    ["a list", call("read_file", "[]")],
    ["a tool without parameters", call("list_all", "{}")],
    ["a tool that was not offered", call("other", "{}")],
  ])("never runs %s", async (_, cut) => {
    for (const reason of ["length", "abort", "content_filter"]) {
      const { parts, error } = await ran(text("I will "), cut, finish(reason), "[DONE]");
      expect(error).toMatchObject({ kind: "cutToolCall" });
      expect(parts).toEqual(["I will "]);
      await fake?.stop();
    }
    const { parts, error } = await ran(cut, "[DONE]");
    expect([parts, (error as ChatFailure).kind]).toEqual([[], "cutToolCall"]);
  });

  test("names the tool, and does not run the calls before it either", async () => {
    const { parts, error } = await ran(
      call("read_file", '{"path": "a", "lines": 3}', 0),
      call("list_all", undefined, 1),
      finish("length"),
    );
    expect(error).toMatchObject({ kind: "cutToolCall", detail: "list_all" });
    expect(parts).toEqual([]);
  });

  test("runs a call that is complete", async () => {
    const { parts } = await ran(
      call("list_all", "{}", 0),
      call("read_file", '{"path": "a", "lines": 3}', 1),
      finish("length"),
    );
    expect(parts).toEqual(["list_all#c0{}", 'read_file#c1{"path":"a","lines":3}']);
  });

  test.each(["stop", "tool_calls"])("does not doubt a call without arguments that ended with %s", async (reason) => {
    expect((await ran(call("list_all"), finish(reason))).parts).toEqual(["list_all#c0{}"]);
    await fake?.stop();
    // The tool reports the missing arguments, and the model tries again.
    expect((await ran(call("read_file", "{}"), finish(reason))).parts).toEqual(["read_file#c0{}"]);
  });

  test("is treated the same without streaming", async () => {
    const message = { tool_calls: [{ id: "a", function: { name: "read_file", arguments: "{}" } }] };
    const { error, parts } = await run(
      (_, response) => json(response, { choices: [{ message, finish_reason: "length" }] }),
      { request: { ...request, tools } },
    );
    expect([parts, (error as ChatFailure).kind]).toEqual([[], "cutToolCall"]);
  });
});

test("tool calls that are cut or not JSON are never run", async () => {
  const half = calls({ index: 0, id: "a", function: { name: "rm", arguments: '{"path": "/tm' } });
  const cut = await run(streams(half, finish("length")));
  expect((cut.error as ChatFailure).kind).toBe("cutToolCall");
  expect(cut.parts).toEqual([]);
  await fake?.stop();
  expect((await failure(streams(half, finish("tool_calls")))).kind).toBe("badToolCall");
});

test("an error inside the stream is classified like one before it", async () => {
  const error = { error: { message: "out of memory", code: 500 } };
  expect((await failure(streams(text("a"), error))).kind).toBe("serverError");
});

test.each([
  [401, "unauthorized"],
  [403, "unauthorized"],
  [404, "notFound"],
  [429, "busy"],
  [503, "busy"],
  [500, "serverError"],
  [400, "refused"],
] as const)("HTTP %i is %s", async (status, kind) => {
  expect((await failure(fails(status, { error: { message: "no" } }))).kind).toBe(kind);
});

test("a busy server's Retry-After is kept", async () => {
  const { facts } = await failure(fails(429, {}, { "Retry-After": "7" }));
  expect(facts.waitS).toBe(7);
});

test("an unreachable server", async () => {
  const unreachable = { base: "http://127.0.0.1:9", headers: {} };
  const sink: Sink = { text: () => {}, thinking: () => {}, toolCall: () => {} };
  const failed = chat(unreachable, request, sink, new AbortController().signal);
  await expect(failed).rejects.toMatchObject({ kind: "unreachable" });
});

test.each([
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "certificate"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "certificate"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "certificate"],
  ["CERT_HAS_EXPIRED", "certificate"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "certificate"],
  ["net::ERR_CERT_AUTHORITY_INVALID", "certificate"],
  ["ECONNREFUSED", "unreachable"],
  ["EPROTO", "unreachable"],
])("a connection that fails with %s", (code, kind) => {
  const failed = new TypeError("fetch failed", { cause: Object.assign(new Error(), { code }) });
  expect(toChatFailure(new ConnectionError(false, failed), false).kind).toBe(kind);
});

test("vLLM without a tool parser is recognised", async () => {
  const message =
    '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set';
  expect((await failure(fails(400, { error: { message } }))).kind).toBe("tools");
});

test.each([
  [
    "llama.cpp",
    400,
    { error: { type: "exceed_context_size_error", message: "too long", n_prompt_tokens: 9000, n_ctx: 4096 } },
    { limit: 4096, promptTokens: 9000 },
  ],
  [
    "vLLM",
    400,
    {
      error: {
        message:
          "This model's maximum context length is 8192 tokens. However, your request has at least 15479 input tokens.",
      },
    },
    { limit: 8192 },
  ],
  [
    "TGI",
    422,
    { error: "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9" },
    { limit: 4096 },
  ],
  ["OpenAI", 400, { error: { code: "context_length_exceeded", message: "too long" } }, {}],
  [
    "vLLM 0.16",
    400,
    {
      error: {
        message:
          "You passed 9001 input tokens and requested 0 output tokens. However, the model's context length is only 8192 tokens, resulting in a maximum input length of 8192 tokens.",
      },
    },
    { limit: 8192 },
  ],
  [
    "SGLang",
    400,
    { error: { message: "The input (9000 tokens) is longer than the model's context length (8192 tokens)." } },
    { limit: 8192 },
  ],
  [
    "SGLang (with a limit of its own)",
    400,
    { message: "Input length (9000 tokens) exceeds the maximum allowed length (8186 tokens)." },
    { limit: 8186 },
  ],
  [
    "LM Studio",
    400,
    {
      error:
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough.",
    },
    { limit: 4096 },
  ],
  [
    "older TGI",
    422,
    { error: "Input validation error: `inputs` must have less than 1024 tokens. Given: 9000" },
    { limit: 1024 },
  ],
  ["older vLLM", 400, { message: "max_tokens must be at least 1, got -808." }, {}],
])("an overflow of %s is recognised, with its limit and never a guessed count", async (_, status, body, facts) => {
  const failed = await failure(fails(status, body));
  expect(failed.kind).toBe("overflow");
  expect(failed.facts).toEqual({ status, ...facts });
});

test.each([
  "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
  "Unknown field max_total_tokens",
  "max_tokens must be at least 1, got 0.",
])("a refused parameter is no overflow: %s", async (message) => {
  expect((await failure(fails(400, { error: { message } }))).kind).toBe("refused");
});

test("a server's message is cut to one line of 300 characters, and a web page is dropped", async () => {
  const long = await failure(fails(400, { error: { message: "a\nb ".repeat(500) } }));
  expect(long.detail.length).toBeLessThanOrEqual(300);
  expect(long.detail).not.toContain("\n");
  await fake?.stop();
  expect((await failure(fails(500, "<html>nginx</html>"))).detail).toBe("");
});
