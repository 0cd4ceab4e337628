/** Context length and capabilities from the paths at which each kind of server reports them. */

import { requestJson, undefinedIfUnsupported, type Server } from "../../api/apiClient";
import { array, object, positive, string, type Json } from "../../api/narrow";
import type { ServedModel } from "./servedModel";

export type Details = Partial<ServedModel>;

export interface ServerDetails {
  readonly of: (id: string) => Promise<Details>;
  /** For servers that load models on demand: the path that lists the loaded ones, and its answer. */
  readonly loadedAt?: string;
  readonly loaded?: Json;
}

const TIMEOUT_MS = 5000;

export const NO_DETAILS: ServerDetails = { of: async () => ({}) };

export async function ask(server: Server, path: string, body?: unknown): Promise<unknown> {
  return requestJson(server, path, { timeoutMs: TIMEOUT_MS, body });
}

/** @param info the answer of `/info`, empty where the server has none */
export async function findDetails(server: Server, info: Json): Promise<ServerDetails> {
  const tgiContext = positive(info["max_total_tokens"]);
  if (tgiContext) return { of: async () => ({ maxModelLen: tgiContext, engine: "TGI" }) };
  const [props, running, loaded] = await Promise.all(
    ["/props", "/api/ps", "/api/v1/models"].map((path) =>
      ask(server, path).then(object, undefinedIfUnsupported),
    ),
  );
  const slot = object(props?.["default_generation_settings"]);
  if (positive(slot["n_ctx"])) return { of: async () => llamaCppDetails(props ?? {}, slot) };
  if (running?.["models"]) {
    const models = array(running["models"]).map(object);
    const of = (id: string) => ollamaDetails(server, models, id);
    return { of, loadedAt: "/api/ps", loaded: running };
  }
  if (loaded?.["models"]) {
    const models = array(loaded["models"]).map(object);
    return { of: async (id) => lmStudioDetails(models, id), loadedAt: "/api/v1/models", loaded };
  }
  return NO_DETAILS;
}

/** What of the loaded models (Ollama's or LM Studio's) changes when one is loaded again. */
export function loadedState(loaded: unknown): unknown {
  const models = array(object(loaded)["models"]).map(object);
  return models.map(({ name, key, context_length, loaded_instances }) => [
    name ?? key,
    context_length ?? array(loaded_instances).map((each) => object(each)["config"]),
  ]);
}

function llamaCppDetails(props: Json, slot: Json): Details {
  return {
    maxModelLen: positive(slot["n_ctx"]),
    engine: "llama.cpp",
    vision: object(props["modalities"])["vision"] === true,
    quantization: string(props["model_ftype"]),
  };
}

async function ollamaDetails(server: Server, running: Json[], id: string): Promise<Details> {
  const loaded = running.find((model) => model["name"] === id);
  const shown = object(await ask(server, "/api/show", { model: id }).catch(undefinedIfUnsupported));
  const capabilities = array(shown["capabilities"]);
  return {
    // The trained context length is not what Ollama loads it with: only a loaded model has a context.
    maxModelLen: positive(loaded?.["context_length"]),
    engine: "Ollama",
    quantization: string(object(shown["details"])["quantization_level"]),
    tools: capabilities.length && !capabilities.includes("tools") ? "none" : undefined,
    vision: capabilities.includes("vision"),
    reasoning: capabilities.includes("thinking"),
  };
}

function lmStudioDetails(models: Json[], id: string): Details {
  const model = models.find((entry) => entry["key"] === id || entry["id"] === id);
  const instance = object(array(model?.["loaded_instances"])[0]);
  const capabilities = object(model?.["capabilities"]);
  return {
    maxModelLen: positive(object(instance["config"])["context_length"]),
    engine: "LM Studio",
    quantization: string(object(model?.["quantization"])["name"]),
    vision: capabilities["vision"] === true,
    tools: capabilities["trained_for_tool_use"] === false ? "none" : undefined,
  };
}
