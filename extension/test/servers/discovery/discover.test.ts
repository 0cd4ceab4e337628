/** Each server reports its models and their true context in its own way. */
import { afterEach, expect, test } from "vitest";
import { discover } from "../../../src/servers/discovery/discover";
import type { ServedModel } from "../../../src/servers/discovery/servedModel";
import type { ServerResponse } from "node:http";
import { FakeServer, fails, gatewayModel, lists, type Handler } from "../../support/fakeServer";

let fake: FakeServer | undefined;
afterEach(() => fake?.stop());

async function found(paths: Record<string, Handler>): Promise<ServedModel[]> {
  fake = await FakeServer.start(paths);
  return (await discover(fake.server)).models;
}

test("the gateway reports everything", async () => {
  const [model] = await found({
    "/v1/models": lists(
      gatewayModel("qwen", {
        quantization: "Q4_K_M",
        capabilities: { tools: "emulated", vision: true, reasoning: true, fits: true },
      }),
    ),
    "/info": () => ({
      server: "stoker",
      version: "1",
      backends: [
        { engine: "vLLM", models: ["other"], up: true },
        { engine: "llama.cpp", models: ["qwen"], up: true },
      ],
      models: [],
    }),
  });
  expect(model).toEqual({
    id: "qwen",
    maxModelLen: 8192,
    engine: "llama.cpp",
    quantization: "Q4_K_M",
    tools: "emulated",
    vision: true,
    reasoning: true,
    fits: true,
  });
});

test("the gateway's models that complete code are listed once, whether they chat or not", async () => {
  fake = await FakeServer.start({
    "/v1/models": lists(
      gatewayModel("chat", { capabilities: { infill: true } }),
      gatewayModel("base", { capabilities: { chat: false, infill: true } }),
      gatewayModel("other"),
      gatewayModel("local", { root: "chat", capabilities: { infill: true } }),
    ),
  });
  const { models, infill } = await discover(fake.server);
  expect(infill).toEqual(["chat", "base"]);
  expect(models.map(({ id }) => id)).toEqual(["chat", "other"]);
});

test("other servers' models are not known to complete code", async () => {
  fake = await FakeServer.start({ "/v1/models": lists({ id: "qwen2.5-coder", owned_by: "vllm", max_model_len: 9 }) });
  expect((await discover(fake.server)).infill).toEqual([]);
});

test("vLLM: max_model_len, and nothing more is asked than /info", async () => {
  const [model] = await found({
    "/v1/models": lists({ id: "m", owned_by: "vllm", max_model_len: 4096 }),
  });
  expect(model).toMatchObject({ maxModelLen: 4096, engine: "vLLM", tools: undefined });
  expect(fake?.received.map(({ path }) => path)).toEqual(["/v1/models", "/info"]);
});

test("llama.cpp: the context of one slot, from /props", async () => {
  const [model] = await found({
    "/v1/models": lists({ id: "m", owned_by: "llamacpp" }),
    "/props": () => ({
      default_generation_settings: { n_ctx: 4096 },
      modalities: { vision: true },
      model_ftype: "Q4_1",
    }),
  });
  expect(model).toMatchObject({
    maxModelLen: 4096,
    engine: "llama.cpp",
    vision: true,
    quantization: "Q4_1",
  });
});

test("TGI: max_total_tokens, from /info", async () => {
  const [model] = await found({
    "/v1/models": lists({ id: "m" }),
    "/info": () => ({ max_total_tokens: 6000, max_input_tokens: 5000, quantize: "awq" }),
  });
  expect(model).toMatchObject({ maxModelLen: 6000, engine: "TGI", quantization: "awq" });
});

test("Ollama: the loaded context, and none where it is not loaded", async () => {
  const models = await found({
    "/v1/models": lists({ id: "a", owned_by: "library" }, { id: "b", owned_by: "library" }),
    "/api/ps": () => ({ models: [{ name: "a", context_length: 4096 }] }),
    "/api/show": (received) => ({
      model_info: { "llama.context_length": 131072 },
      capabilities: received.body.includes('"a"') ? ["completion", "tools", "vision"] : ["completion"],
      details: { quantization_level: "Q4_0" },
    }),
  });
  expect(models[0]).toMatchObject({ maxModelLen: 4096, vision: true, tools: undefined });
  expect(models[1]).toMatchObject({ maxModelLen: undefined, tools: "none", quantization: "Q4_0" });
});

test("LM Studio: the loaded instance's context, and none where it is not loaded", async () => {
  const [loaded, other] = await found({
    "/v1/models": lists(
      { id: "m", owned_by: "organization_owner" },
      { id: "n", owned_by: "organization_owner" },
    ),
    "/api/v1/models": () => ({
      models: [
        { key: "m", loaded_instances: [{ config: { context_length: 16384 } }] },
        { key: "n", loaded_instances: [], max_context_length: 131072 },
      ],
    }),
  });
  expect(loaded).toMatchObject({ maxModelLen: 16384, engine: "LM Studio" });
  expect(other).toMatchObject({ maxModelLen: undefined, engine: "LM Studio" });
});

test.each([
  ["is busy", fails(503, {})],
  ["fails", fails(500, {})],
  ["breaks off", (_: unknown, response: ServerResponse) => void response.destroy()],
])("discovery fails where a server %s at /props: its context is not known", async (_, handler) => {
  await expect(found({ "/v1/models": lists({ id: "m" }), "/props": handler })).rejects.toThrow();
});

test.each([
  ["refuses", fails(401, {})],
  ["lacks", fails(405, {})],
  ["has not built", fails(501, {})],
  ["shows a web page at", (_: unknown, response: ServerResponse) => void response.end("<html>")],
])("a server that %s /props does not report its context", async (_, handler) => {
  const [model] = await found({ "/v1/models": lists({ id: "m" }), "/props": handler });
  expect(model).toMatchObject({ maxModelLen: undefined, engine: "OpenAI-compatible" });
});

test("Hugging Face's router: the smallest context of the providers", async () => {
  const [model] = await found({
    "/v1/models": lists({
      id: "org/m",
      architecture: { input_modalities: ["text", "image"] },
      providers: [
        { context_length: 131072, supports_tools: true },
        { context_length: 32768, supports_tools: false },
      ],
    }),
  });
  expect(model).toMatchObject({ maxModelLen: 32768, vision: true, tools: undefined });
});

test("a server that reports nothing leaves the context unknown; embedding models are not listed", async () => {
  const models = await found({ "/v1/models": lists({ id: "m" }, { id: "bge-embed" }, {}) });
  expect(models).toHaveLength(1);
  expect(models[0]).toMatchObject({ maxModelLen: undefined, engine: "OpenAI-compatible" });
});

test("a web page instead of an API is an error", async () => {
  await expect(
    found({ "/v1/models": (_, response) => void response.writeHead(200).end("<html>") }),
  ).rejects.toThrow();
});
