/** The provider and its model registry together, as VS Code uses them. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as vscode from "vscode";
import type { ModelInformation } from "../../src/chat/modelInformation";
import type { Source } from "../../src/servers/modelEntry";
import { ModelRegistry } from "../../src/servers/modelRegistry";
import { LastServedModels } from "../../src/servers/lastServedModels";
import { toMessages } from "../../src/chat/openaiMessages";
import { Provider } from "../../src/chat/provider";
import {
  calls,
  FakeServer,
  fails,
  finish,
  gatewayError,
  gatewayModel,
  gatewayTokenize,
  lists,
  streams,
  text,
  thinks,
  usage,
  type Handler,
} from "../support/fakeServer";
import * as host from "../support/fakeVscode";

const log = host.fakeLog();
const asLog = log as unknown as vscode.LogOutputChannel;
let fake: FakeServer | undefined;
let sources: Source[] = [];
let now = 0;
let state = host.fakeState();
/** What is wrong with the endpoint setting. */
let problem: string | undefined;
let registry: ModelRegistry;
let provider: Provider;

const models = lists({ id: "org/m", owned_by: "vllm", max_model_len: 8192 });
const counting = {
  "/v1/models": lists(gatewayModel("org/m")),
  "/tokenize": gatewayTokenize((prompt) => prompt.length),
};
const question = [
  { role: 1, content: [new host.LanguageModelTextPart("SECRET question")], name: undefined },
] as unknown as vscode.LanguageModelChatRequestMessage[];

beforeEach(() => {
  log.lines.length = 0;
  now = 0;
  state = host.fakeState();
  problem = undefined;
  registry = new ModelRegistry(async () => sources, new LastServedModels(state), asLog, () => now);
  provider = new Provider(registry, { problem: () => problem }, asLog);
});
afterEach(async () => {
  sources = [];
  host.lm.tools = [];
  await fake?.stop();
  fake = undefined;
});

async function serve(paths: Record<string, Handler>): Promise<FakeServer> {
  fake = await FakeServer.start(paths);
  sources = [{ prefix: "", label: "here", server: fake.server }];
  return fake;
}

async function ask(options: object = {}, token = new host.CancellationTokenSource().token) {
  const [model] = await provider.provideLanguageModelChatInformation({ silent: true });
  const parts: unknown[] = [];
  if (!model) throw new Error("no model");
  await provider.provideLanguageModelChatResponse(
    model,
    question,
    { toolMode: 1, ...options } as vscode.ProvideLanguageModelChatResponseOptions,
    { report: (part) => parts.push(part) },
    token as unknown as vscode.CancellationToken,
  );
  return parts;
}

describe("models", () => {
  test("a model is offered with its true context, less room for the answer", async () => {
    await serve({ "/v1/models": models });
    const model = {
      id: "org/m",
      name: "m",
      family: "m",
      version: "1",
      detail: "here",
      tooltip: "org/m · vLLM at here · context 8192 tokens",
      maxInputTokens: 6144,
      maxOutputTokens: 2048,
      capabilities: { toolCalling: true, imageInput: false },
      isUserSelectable: true,
      isBYOK: true,
    };
    expect(await provider.provideLanguageModelChatInformation({ silent: true })).toEqual([
      {
        ...model,
        id: "local",
        name: " Local: m",
        tooltip: "whichever model here serves first · org/m · vLLM at here · context 8192 tokens",
      },
      model,
    ]);
  });

  test.each([
    [8192, true, 65_536],
    [2048, true, 65_536],
    [131_072, true, 131_072],
    [8192, false, 8192],
  ])("a window of %i behind a gateway that fits (%s) is advertised to VS Code as %i", async (length, fits, window) => {
    await serve({ "/v1/models": lists(gatewayModel("m", { max_model_len: length, capabilities: { fits } })) });
    const [, advertised] = await provider.provideLanguageModelChatInformation({ silent: true });
    expect((advertised?.maxInputTokens ?? 0) + (advertised?.maxOutputTokens ?? 0)).toBe(window);
    expect(advertised?.tooltip).toContain(`context ${length} tokens${fits ? ", fitted by Stoker" : ""}`);
    expect(registry.find("m")?.context).toBe(length);
  });

  test("`fits` counts only in the gateway's listing", async () => {
    const entry = { id: "m", owned_by: "vllm", max_model_len: 8192, capabilities: { fits: true } };
    await serve({ "/v1/models": lists(entry) });
    const [, advertised] = await provider.provideLanguageModelChatInformation({ silent: true });
    expect(advertised?.maxInputTokens).toBe(6144);
  });

  test("silent mode never prompts; otherwise the user is asked for an unset endpoint", async () => {
    host.executed.length = 0;
    expect(await provider.provideLanguageModelChatInformation({ silent: true })).toEqual([]);
    expect(host.executed).toEqual([]);
    await provider.provideLanguageModelChatInformation({ silent: false });
    expect(host.executed).toEqual(["stoker.setEndpoint"]);
  });

  test("ten questions at once are one request; a fresh answer is kept for ten seconds", async () => {
    const server = await serve({ "/v1/models": models });
    await Promise.all(Array.from({ length: 10 }, () => registry.entries()));
    expect(server.asked("/v1/models")).toHaveLength(1);
    await registry.entries();
    expect(server.asked("/v1/models")).toHaveLength(1);
    now += 11_000;
    await registry.entries();
    expect(server.asked("/v1/models")).toHaveLength(2);
  });

  test("models stay while the server is down, marked as down; failures are not cached", async () => {
    let up = true;
    await serve({ "/v1/models": (r, response) => (up ? models(r, response) : fails(500, {})(r, response)) });
    expect(await registry.entries()).toHaveLength(2);
    up = false;
    now += 3 * 3600_000;
    const down = await provider.provideLanguageModelChatInformation({ silent: true });
    expect(down.map(({ id, detail, isUserSelectable }) => [id, detail, isUserSelectable])).toEqual([
      ["local", "here does not answer", true],
      ["org/m", "here does not answer", true],
    ]);
    expect(registry.outages).toHaveLength(1);
    up = true;
    const back = await provider.provideLanguageModelChatInformation({ silent: true });
    expect(back.map(({ detail }) => detail)).toEqual(["here", "here"]);
    expect(registry.outages).toHaveLength(0);
  });

  test("settings that cannot be read are a temporary outage, and the log does not quote them", async () => {
    await serve({ "/v1/models": models });
    let broken = true;
    const failing = new ModelRegistry(
      async () => {
        if (broken) throw new URIError("http://me:SECRET@host");
        return sources;
      },
      new LastServedModels(state),
      asLog,
      () => now,
    );
    expect(await failing.refresh()).toEqual([]);
    expect(log.lines).toEqual(["error cannot look for models: URIError"]);
    broken = false;
    expect(await failing.entries()).toHaveLength(2);
  });

  test("another endpoint replaces the first, also while the first is still being asked", async () => {
    const slow = await FakeServer.start({
      "/v1/models": async () => {
        await new Promise((resolve) => setTimeout(resolve, 200));
        return { data: [{ id: "old" }] };
      },
    });
    sources = [{ prefix: "", label: "old", server: slow.server }];
    const first = registry.entries();
    await serve({ "/v1/models": models });
    const changed = vi.fn();
    registry.onDidChange(changed);
    await registry.reset();
    await first;
    expect(registry.current.map(({ id }) => id)).toEqual(["local", "org/m"]);
    expect(changed).toHaveBeenCalledTimes(1);
    await slow.stop();
  });

  test("a poll is one small request while nothing changes", async () => {
    let listed: object = { id: "m", max_model_len: 8192 };
    const server = await serve({ "/v1/models": () => ({ object: "list", data: [listed] }) });
    await registry.entries();
    const before = server.received.length;
    await registry.poll();
    expect(server.received.length).toBe(before + 1);
    listed = { id: "m", max_model_len: 4096 };
    await registry.poll();
    expect(registry.current[0]?.context).toBe(4096);
    listed = gatewayModel("m", { capabilities: { fits: true } });
    await registry.poll();
    expect(registry.current[0]?.model.fits).toBe(true);
  });
});

describe("true context", () => {
  const loading = { "/v1/models": lists({ id: "m", owned_by: "library" }) };

  test("an Ollama model is offered with the context that it is loaded with, and keeps it", async () => {
    let running: object[] = [];
    await serve({
      ...loading,
      "/api/ps": () => ({ models: running }),
      "/api/show": () => ({ model_info: { "llama.context_length": 131072 } }),
    });
    await registry.entries();
    expect(registry.current[0]?.context).toBe(4096);
    running = [{ name: "m", context_length: 32768, expires_at: "soon" }];
    await registry.poll();
    expect(registry.current[0]?.context).toBe(32768);
    running = [{ name: "m", context_length: 16384, expires_at: "later" }];
    await registry.poll();
    expect(registry.current[0]?.context).toBe(16384);
    running = [];
    await registry.poll();
    expect(registry.current[0]?.context).toBe(16384);
  });

  test("a model in use is no change: a poll of Ollama stays two small requests", async () => {
    let uses = 0;
    const server = await serve({
      ...loading,
      "/api/ps": () => ({ models: [{ name: "m", context_length: 4096, expires_at: (uses += 1) }] }),
      "/api/show": () => ({}),
    });
    await registry.entries();
    server.received.length = 0;
    await registry.poll();
    expect(server.received.map(({ path }) => path).sort()).toEqual(["/api/ps", "/v1/models"]);
  });

  test("one failure of /props never changes a context, and the server recovers", async () => {
    let up = true;
    await serve({
      "/v1/models": lists({ id: "m", owned_by: "llamacpp" }),
      "/props": (received, response) =>
        up ? { default_generation_settings: { n_ctx: 2048 } } : fails(503, {})(received, response),
    });
    await registry.entries();
    up = false;
    await registry.refresh();
    expect(registry.current[0]?.context).toBe(2048);
    expect(registry.outages).toHaveLength(1);
    up = true;
    await registry.poll();
    expect(registry.current[0]?.context).toBe(2048);
    expect(registry.outages).toHaveLength(0);
  });
});

describe("with Hugging Face's router", () => {
  async function besides(router: Record<string, Handler>) {
    const server = await serve(counting);
    const other = await FakeServer.start(router);
    sources.push({ prefix: "hf/", label: "Hugging Face", server: other.server });
    return { server, other };
  }

  test("a router that is down does not invalidate the counts of the endpoint", async () => {
    const { server, other } = await besides({ "/v1/models": fails(500, {}) });
    for (let round = 0; round < 5; round += 1) {
      await registry.refresh();
      expect(await registry.find("org/m")?.counter.count("one text")).toBe(8);
    }
    expect(server.asked("/tokenize")).toHaveLength(4);
    await other.stop();
  });

  test("a poll of the endpoint does not fetch its long list", async () => {
    const { server, other } = await besides({ "/v1/models": lists({ id: "far" }) });
    expect(await registry.entries()).toHaveLength(3);
    const before = server.received.length;
    other.received.length = 0;
    await registry.poll();
    expect(server.received.length).toBe(before + 1);
    expect(other.received).toEqual([]);
    expect(registry.models).toHaveLength(2);
    await other.stop();
  });

  test("a router that comes back is noticed", async () => {
    let up = false;
    const { other } = await besides({
      "/v1/models": (received, response) =>
        up ? { data: [{ id: "far" }] } : fails(503, {})(received, response),
    });
    expect(await registry.entries()).toHaveLength(2);
    up = true;
    await registry.poll();
    expect(registry.current.map(({ id }) => id)).toEqual(["local", "org/m", "hf/far"]);
    await other.stop();
  });
});

describe("answers", () => {
  const chat = (handler: Handler) => serve({ "/v1/models": models, "/v1/chat/completions": handler });

  test("text, thinking, tool calls and usage reach VS Code as its own kinds of parts", async () => {
    await chat(
      streams(
        thinks("hm"),
        text("Hi"),
        calls({ index: 0, id: "c1", function: { name: "read", arguments: '{"f":1}' } }),
        finish("tool_calls"),
        usage(100, 5),
        "[DONE]",
      ),
    );
    const [thinking, said, call, used] = await ask();
    expect(thinking).toEqual(new host.LanguageModelThinkingPart("hm"));
    expect(said).toEqual(new host.LanguageModelTextPart("Hi"));
    expect(call).toEqual(new host.LanguageModelToolCallPart("c1", "read", { f: 1 }));
    const { data, mimeType } = used as host.LanguageModelDataPart;
    expect(mimeType).toBe("usage");
    expect(JSON.parse(new TextDecoder().decode(data))).toMatchObject({ prompt_tokens: 100 });
  });

  describe("while llama.cpp reads the prompt", () => {
    const reads = (processed: number, total = 14_400) => ({
      choices: [{ delta: { role: "assistant", content: null } }],
      prompt_progress: { total, cache: 200, processed, time_ms: 1 },
    });
    /** Answers with these items; a function runs between them. */
    const between = (...items: (object | (() => void))[]): Handler => async (_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      for (const item of items) {
        if (typeof item === "function") item();
        else response.write(`data: ${JSON.stringify(item)}\n\n`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      response.end("data: [DONE]\n\n");
    };
    const llama = (completions: Handler) =>
      serve({
        "/v1/models": lists({ id: "m", owned_by: "llamacpp", meta: { n_ctx: 32_768 } }),
        "/v1/chat/completions": completions,
      });
    const thought = (parts: unknown[]) =>
      parts.flatMap((part) => (part instanceof host.LanguageModelThinkingPart ? [part.value] : []));
    let clock = 0;
    const seconds = (count: number) => () => {
      clock += 1000 * count;
    };

    beforeEach(() => {
      clock = 0;
      vi.spyOn(performance, "now").mockImplementation(() => clock);
    });
    afterEach(() => vi.restoreAllMocks());

    test("a line says how far, after ten seconds and every ten from then on", async () => {
      const answers = between(
        reads(2000), seconds(9), reads(4000), seconds(2), reads(5170), seconds(5), reads(9000),
        seconds(6), reads(14_000), text("Hi"), seconds(20), finish("stop"),
      );
      const { received } = await llama(answers);
      const parts = await ask();
      expect(thought(parts)).toEqual([
        "**Reading 14,200 tokens, 35%**\n\n",
        "**Reading 14,200 tokens, 97%**\n\n",
      ]);
      expect(parts.at(-1)).toEqual(new host.LanguageModelTextPart("Hi"));
      const asked = received.filter(({ path }) => path === "/v1/chat/completions");
      expect(JSON.parse(asked[0]?.body ?? "")).toMatchObject({ return_progress: true });
    });

    test("nothing is shown for a quick one, and numbers that make no sense are left out", async () => {
      await llama(
        between(reads(2000), seconds(8), reads(14_400), seconds(9), reads(0, 100), reads(-5), text("Hi"), finish("stop")),
      );
      expect(thought(await ask())).toEqual([]);
    });

    test("a line is no part of an answer: where none follows, the chat says so", async () => {
      await llama(between(seconds(11), reads(5170), finish("stop")));
      await expect(ask()).rejects.toThrow();
    });

    test("what was shown does not go back to the model", async () => {
      const line = new host.LanguageModelThinkingPart("**Reading 14,200 tokens, 35%**");
      const content = [line, new host.LanguageModelTextPart("Hi")];
      const history = [{ role: 2, content }] as unknown as typeof question;
      expect(toMessages(history)).toEqual([{ role: "assistant", content: "Hi" }]);
    });

    test("other servers are not asked for it", async () => {
      const { received } = await serve({
        "/v1/models": models,
        "/v1/chat/completions": streams(text("Hi"), finish("stop"), "[DONE]"),
      });
      await ask();
      const asked = received.filter(({ path }) => path === "/v1/chat/completions");
      expect(JSON.parse(asked[0]?.body ?? "")).not.toHaveProperty("return_progress");
    });
  });

  test("the log holds numbers, and never what was asked or answered", async () => {
    await chat(streams(text("SECRET answer"), finish("stop"), usage(100, 5)));
    await ask();
    expect(log.lines.join("\n")).toContain("prompt 100 tokens");
    await fake?.stop();
    await chat(fails(400, { error: { message: "bad: SECRET question" } }));
    await registry.reset();
    await expect(ask()).rejects.toThrow("SECRET question");
    expect(log.lines.join("\n")).toContain("refused");
    expect(log.lines.join("\n")).not.toContain("SECRET");
  });

  test("10,000 chunks are one trace line for each tenth of a second, and none at info", async () => {
    const chunk = `data: ${JSON.stringify(text("SECRET "))}\n\n`.repeat(100);
    await chat(async (_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      for (let at = 0; at < 100; at += 1) {
        response.write(chunk);
        if (at % 25 === 24) await new Promise((resolve) => setTimeout(resolve, 120));
      }
      response.end(`data: ${JSON.stringify(finish("stop"))}\n\n`);
    });
    const traced = async (level: host.LogLevel): Promise<string[]> => {
      log.logLevel = level;
      log.lines.length = 0;
      expect(await ask()).toHaveLength(10_000);
      return log.lines.filter((line) => line.startsWith("trace"));
    };
    try {
      expect(await traced(host.LogLevel.Info)).toEqual([]);
      const startedAt = performance.now();
      const lines = await traced(host.LogLevel.Trace);
      expect(lines.length).toBeGreaterThanOrEqual(2);
      expect(lines.length).toBeLessThanOrEqual((performance.now() - startedAt) / 100);
      expect(lines.join("\n")).not.toContain("SECRET");
    } finally {
      log.logLevel = host.LogLevel.Info;
    }
  });

  test("Stop closes the connection and is not an error", async () => {
    const server = await chat(streams(text("a"), 5_000, finish("stop")));
    const source = new host.CancellationTokenSource();
    setTimeout(() => source.cancel(), 50);
    await expect(ask({}, source.token)).rejects.toBeInstanceOf(host.CancellationError);
    await expect.poll(() => server.aborted).toBe(1);
  });

  test("an overflow teaches the limit, and one smaller request follows", async () => {
    const tool = (name: string) => ({ name, description: "d".repeat(3000), inputSchema: {} });
    const overflow = {
      error: { type: "exceed_context_size_error", message: "x", n_prompt_tokens: 4500, n_ctx: 4096 },
    };
    const server = await chat((received, response) =>
      received.body.includes('"two"')
        ? fails(400, overflow)(received, response)
        : streams(text("fits"), finish("stop"))(received, response),
    );
    const parts = await ask({ tools: [tool("one"), tool("two")] });
    expect(parts).toEqual([new host.LanguageModelTextPart("fits")]);
    expect(server.asked("/v1/chat/completions")).toHaveLength(2);
    const learned = await provider.provideLanguageModelChatInformation({ silent: true });
    expect(learned.map(({ maxInputTokens }) => maxInputTokens)).toEqual([4096 - 1024, 4096 - 1024]);
  });

  test("an overflow from a gateway that fits changes no context and is not retried", async () => {
    const overflow = gatewayError("maximum context length is 512 tokens", "context_length_exceeded");
    const server = await serve({
      "/v1/models": lists(gatewayModel("m", { capabilities: { fits: true } })),
      "/v1/chat/completions": fails(400, overflow),
    });
    await expect(ask()).rejects.toThrow(/message alone needs more than the 8192 tokens that m has/);
    expect(server.asked("/v1/chat/completions")).toHaveLength(1);
    expect(registry.current.map(({ context }) => context)).toEqual([8192, 8192]);
    const [advertised] = await provider.provideLanguageModelChatInformation({ silent: true });
    expect(advertised?.maxInputTokens).toBe(65_536 - 4096);
  });

  test("a request that cannot be truncated enough fails with what to do", async () => {
    const server = await chat(
      fails(400, { error: { message: "maximum context length is 512 tokens" } }),
    );
    await expect(ask()).rejects.toThrow(/more than the 512 tokens.*new chat/);
    expect(server.asked("/v1/chat/completions").length).toBeLessThanOrEqual(2);
  });

  test("a full context ends the answer with a note, not with an error", async () => {
    await chat(streams(text("So"), finish("length")));
    const parts = (await ask()) as host.LanguageModelTextPart[];
    expect(parts.map(({ value }) => value).join("")).toMatch(/^So\n\n\*The answer stops here/);
  });

  test.each([
    [401, /Set API Key/],
    [404, /does not serve/],
    [429, /busy/],
    [500, /stoker logs/],
  ])("HTTP %i explains what to do", async (status, message) => {
    await chat(fails(status, {}));
    await expect(ask()).rejects.toThrow(message);
  });
});

describe("a model that VS Code still holds and that is not available", () => {
  let served = ["org/m"];
  const listing: Handler = () => ({ object: "list", data: served.map((id) => ({ id, max_model_len: 8192 })) });
  const answering: Record<string, Handler> = {
    "/v1/models": listing,
    "/v1/chat/completions": (received, response) => {
      const { model } = JSON.parse(received.body) as { model: string };
      if (!served.includes(model)) return fails(404, { error: "no such model" })(received, response);
      return streams(text(`I am ${model}`), finish("stop"))(received, response);
    },
  };
  beforeEach(() => {
    served = ["org/m"];
  });

  const offered = async (id: string) => {
    const all = await provider.provideLanguageModelChatInformation({ silent: true });
    const found = all.find((each) => each.id === id);
    if (!found) throw new Error(`${id} is not offered`);
    return found;
  };

  async function askAs(model: ModelInformation): Promise<string> {
    const parts: host.LanguageModelTextPart[] = [];
    await provider.provideLanguageModelChatResponse(
      model,
      question,
      { toolMode: 1 } as vscode.ProvideLanguageModelChatResponseOptions,
      { report: (part) => parts.push(part as unknown as host.LanguageModelTextPart) },
      new host.CancellationTokenSource().token as unknown as vscode.CancellationToken,
    );
    return parts.map(({ value }) => value).join("");
  }

  test("was replaced: it is hidden, its tokens are still counted, and the chat names what is served; 'local' answers", async () => {
    const server = await serve(answering);
    const [local, old] = [await offered("local"), await offered("org/m")];
    served = ["org/n"];
    await registry.poll();
    const asked: string[] = [];
    provider.onDidAsk((id) => asked.push(id));
    const gone = await offered("org/m");
    expect(gone).toMatchObject({ name: "m (no longer served)", isUserSelectable: false });
    expect(await provider.provideTokenCount(old, "123456")).toBe(2);
    expect(await provider.provideTokenCount(old, question[0]!)).toBe(5);
    await expect(askAs(old)).rejects.toThrow(/^m is no longer served: here now serves org\/n\. .*'Local'/);
    expect(server.asked("/v1/chat/completions")).toEqual([]);
    expect(await askAs(local)).toBe("I am org/n");
    expect(asked).toEqual(["org/m", "local"]);
    expect((await offered("local")).name).toBe(" Local: n");
  });

  test("was replaced a moment ago: the server's 404 is explained the same way, and 'local' asks again", async () => {
    const server = await serve(answering);
    const [local, old] = [await offered("local"), await offered("org/m")];
    served = ["org/n"];
    expect(await askAs(local)).toBe("I am org/n");
    served = ["org/o"];
    await registry.refresh();
    served = ["org/n"];
    await expect(askAs({ ...old, id: "org/o" })).rejects.toThrow(/^o is no longer served/);
    const asked = server.asked("/v1/chat/completions").map(({ body }) => JSON.parse(body).model as string);
    expect(asked).toEqual(["org/m", "org/n", "org/o"]);
  });

  test.each([
    ["refuses the key", ["org/n"], 401, /^here refused the API key/],
    ["is not served either", [], 404, /^here is running but serves no chat model/],
  ])("was replaced by a model that %s: that is explained", async (_, next, status, message) => {
    await serve({
      "/v1/models": listing,
      "/v1/chat/completions": (received, response) => {
        const isServed = served.some((id) => received.body.includes(id));
        return fails(isServed ? status : 404, {})(received, response);
      },
    });
    const local = await offered("local");
    served = next;
    await expect(askAs(local)).rejects.toThrow(message);
  });

  test("is back after an outage: it answers at once", async () => {
    await serve(answering);
    const model = await offered("org/m");
    const { server } = fake!;
    sources = [{ prefix: "", label: "here", server: { ...server, base: "http://127.0.0.1:9" } }];
    await registry.refresh();
    await expect(askAs(model)).rejects.toThrow(/^Cannot reach here.*Start the server/);
    sources = [{ prefix: "", label: "here", server }];
    expect(await askAs(model)).toBe("I am org/m");
  });

  test("an endpoint that is cleared, or serves no model, is explained", async () => {
    await serve(answering);
    const [local, model] = [await offered("local"), await offered("org/m")];
    served = [];
    await registry.refresh();
    await expect(askAs(model)).rejects.toThrow(/^here is running but serves no chat model/);
    await expect(askAs(local)).rejects.toThrow(/^here is running but serves no chat model/);
    expect(await provider.provideTokenCount(local, "123")).toBe(1);
    sources = [];
    await registry.reset();
    await expect(askAs(model)).rejects.toThrow(/^m cannot answer: no endpoint is set/);
    expect((await offered("org/m")).isUserSelectable).toBe(false);
    problem = "This is not a valid URL.";
    await expect(askAs(model)).rejects.toThrow(/^The setting .* cannot be used: This is not a valid URL\. Run/);
  });

  test("the next window still offers the last models, and 'local' where there were none", async () => {
    await serve(answering);
    await registry.refresh();
    await fake?.stop();
    const nextWindow = new ModelRegistry(async () => sources, new LastServedModels(state), asLog);
    await nextWindow.refresh();
    expect(nextWindow.current.map(({ id, context }) => [id, context])).toEqual([
      ["local", 8192],
      ["org/m", 8192],
    ]);
    const firstWindow = new ModelRegistry(async () => sources, new LastServedModels(host.fakeState()), asLog);
    provider = new Provider(firstWindow, { problem: () => problem }, asLog);
    const [local] = await provider.provideLanguageModelChatInformation({ silent: true });
    expect(local).toMatchObject({ id: "local", name: " Local", detail: "here does not answer" });
    await expect(askAs(local!)).rejects.toThrow(/^Cannot reach here/);
  });

  test("the first look is a change even where it finds no model; the same again is none", async () => {
    const nothing = new ModelRegistry(async () => [], new LastServedModels(state), asLog);
    let changes = 0;
    nothing.onDidChange(() => (changes += 1));
    await nothing.refresh();
    expect(changes).toBe(1);
    await nothing.reset();
    expect(changes).toBe(1);
  });

  test("is remembered up to a limit, the last used first, even where the disk is full", async () => {
    await serve(answering);
    const used = await offered("org/m");
    served = Array.from({ length: 100 }, (_, at) => `old${at}`);
    await registry.refresh();
    served = ["org/m"];
    await registry.refresh();
    await askAs(used);
    served = Array.from({ length: 20 }, (_, at) => `new${at}`);
    await registry.refresh();
    expect(registry.gone).toHaveLength(32);
    expect(registry.gone.slice(0, 2)).toEqual(["org/m", "old0"]);
    for (let at = 0; at < 50; at += 1) {
      served = [`m${at}`];
      await registry.refresh();
    }
    expect(registry.gone).toHaveLength(32);
    expect(registry.gone[0]).toBe("m48");
    state.broken = true;
    served = ["last"];
    await registry.refresh();
    expect(registry.current.map(({ id }) => id)).toEqual(["local", "last"]);
    expect(log.lines.join("\n")).toContain("cannot store the models");
  });
});

describe("local", () => {
  const ids = (from: readonly { id: string }[]) => from.map(({ id }) => id);

  test("is offered once where the gateway lists it too, and asks for the real model", async () => {
    const server = await serve({
      "/v1/models": lists(gatewayModel("org/m"), gatewayModel("local", { root: "org/m" })),
      "/v1/chat/completions": streams(text("Hi"), finish("stop")),
    });
    expect(ids(await registry.entries())).toEqual(["local", "org/m"]);
    await ask();
    expect(JSON.parse(server.asked("/v1/chat/completions")[0]!.body).model).toBe("org/m");
  });

  test("is the model that the gateway means by it, if the gateway lists it", async () => {
    await serve({
      "/v1/models": lists(
        gatewayModel("vectors", { capabilities: { chat: false } }),
        gatewayModel("down"),
        gatewayModel("my-embedding-chat"),
        gatewayModel("local", { root: "my-embedding-chat" }),
      ),
    });
    expect(ids(await registry.entries())).toEqual(["local", "down", "my-embedding-chat"]);
    expect(registry.find("local")?.model.id).toBe("my-embedding-chat");
  });

  test("is a server's own model where it has one of that name", async () => {
    await serve({ "/v1/models": lists({ id: "m" }, { id: "local", owned_by: "vllm" }) });
    expect(await registry.entries()).toMatchObject([
      { id: "m", isAlias: false },
      { id: "local", isAlias: false, model: { engine: "vLLM" } },
    ]);
  });

  test("counts with the tokenizer of the model that it stands for", async () => {
    const server = await serve(counting);
    const [local] = await provider.provideLanguageModelChatInformation({ silent: true });
    expect(local?.id).toBe("local");
    expect(await provider.provideTokenCount(local!, "seven c")).toBe(7);
    expect(JSON.parse(server.asked("/tokenize")[0]!.body).model).toBe("org/m");
  });

  test("comes first in the alphabetical order that VS Code uses", async () => {
    await serve({ "/v1/models": lists({ id: "_m" }, { id: "0m" }, { id: "a-model" }) });
    const names = (await provider.provideLanguageModelChatInformation({ silent: true })).map(({ name }) => name);
    expect(names.sort((one, other) => one.localeCompare(other))[0]).toBe(" Local: _m");
  });

  test("never stands for a model of Hugging Face's router", async () => {
    const server = await serve({ "/v1/models": models });
    sources = [{ prefix: "hf/", label: "Hugging Face", server: server.server }];
    await registry.reset();
    expect(ids(registry.current)).toEqual(["hf/org/m"]);
  });
});

test("the first count of a tool's text counts all tools, in few requests", async () => {
  const server = await serve(counting);
  host.lm.tools = Array.from({ length: 40 }, (_, at) => ({
    name: `tool_${at}`,
    description: `does ${at}`,
    inputSchema: { type: "object", properties: { [`p${at}`]: { type: "string" } } },
  }));
  const [model] = await provider.provideLanguageModelChatInformation({ silent: true });
  if (!model) throw new Error("no model");
  for (let at = 0; at < 40; at += 1) {
    for (const piece of [`tool_${at}`, `does ${at}`, "type", `p${at}`]) {
      expect(await provider.provideTokenCount(model, piece)).toBe(piece.length);
    }
  }
  expect(server.asked("/tokenize").length).toBeLessThanOrEqual(6);
});
