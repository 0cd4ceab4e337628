/** Reads `/v1/models` and `/info`, of Stoker's gateway and of other servers. */

import { l10n } from "vscode";
import type { GatewayFields } from "../../api/gatewayApi";
import { array, object, positive, string, type Json } from "../../api/narrow";
import { LOCAL, type ServedModel } from "./servedModel";

export interface ModelListing {
  readonly models: ServedModel[];
  /** The model that the gateway means by `local`: the first that chats and is up. */
  readonly local: string | undefined;
  /** The names of models that complete code between a prefix and a suffix, whether they chat or not.
   * Only the gateway reports it. */
  readonly infill: readonly string[];
}

export function readListing(listed: unknown): ModelListing {
  const entries = listedEntries(listed);
  const alias: GatewayFields<"ModelFields"> | undefined = entries.find(isGatewayAlias);
  return {
    models: entries.filter(isChatModel).map(servedModel),
    local: string(alias?.root),
    infill: entries.filter(isInfillModel).flatMap(({ id }) => string(id) ?? []),
  };
}

/** What of a listing changes when the server begins to serve something else. */
export function listingState(listed: unknown): unknown {
  return listedEntries(listed).map((entry) => {
    const { id, root, max_model_len, capabilities }: GatewayFields<"ModelFields"> = entry;
    // llama.cpp describes the loaded model in `meta`.
    return [id, root, max_model_len, capabilities, entry["meta"]];
  });
}

/** What `/info` adds: the engine behind the gateway, TGI's quantization. */
export function withInfo(model: ServedModel, info: Json): ServedModel {
  const { backends }: GatewayFields<"Info"> = info;
  const all: GatewayFields<"Backend">[] = array(backends).map(object);
  const backend = all.find(({ models }) => array(models).includes(model.id));
  return {
    ...model,
    engine: string(backend?.engine) ?? string(info["engine"]) ?? model.engine,
    quantization: model.quantization ?? string(info["quantize"]),
  };
}

function listedEntries(listed: unknown): Json[] {
  return array(object(listed)["data"]).map(object);
}

/** The gateway lists `local` beside the model that it stands for: the registry has its own. */
function isGatewayAlias(entry: Json): boolean {
  const { id, owned_by, root }: GatewayFields<"ModelFields"> = entry;
  return owned_by === "stoker" && id === LOCAL && string(root) !== undefined;
}

function isChatModel(entry: Json): boolean {
  // The gateway reports what chats; elsewhere the name is the only sign.
  const { chat } = capabilitiesOf(entry);
  if (isGatewayAlias(entry) || chat === false) return false;
  const id = string(entry["id"]);
  return id !== undefined && (chat === true || !/embed|rerank/i.test(id));
}

function isInfillModel(entry: Json): boolean {
  return !isGatewayAlias(entry) && capabilitiesOf(entry).infill === true;
}

function servedModel(entry: Json): ServedModel {
  const { id, owned_by, max_model_len, quantization }: GatewayFields<"ModelFields"> = entry;
  const capabilities = capabilitiesOf(entry);
  const providers = array(entry["providers"]).map(object);
  return {
    id: String(id),
    maxModelLen: positive(max_model_len) ?? routerContext(providers),
    engine: engineName(string(owned_by), providers),
    quantization: string(quantization),
    tools: toolSupport(capabilities.tools) ?? routerToolSupport(providers),
    vision: capabilities.vision === true || inputsOf(entry).includes("image"),
    reasoning: capabilities.reasoning === true,
    fits: owned_by === "stoker" && capabilities.fits === true,
  };
}

function capabilitiesOf(entry: Json): GatewayFields<"Capabilities"> {
  return object(entry["capabilities"]);
}

function toolSupport(value: unknown): ServedModel["tools"] {
  return value === "native" || value === "emulated" || value === "none" ? value : undefined;
}

/** Hugging Face's router lists the providers of a model, and may choose any of them. */
function routerContext(providers: Json[]): number | undefined {
  const contexts = providers.flatMap((provider) => positive(provider["context_length"]) ?? []);
  return contexts.length ? Math.min(...contexts) : undefined;
}

function routerToolSupport(providers: Json[]): "none" | undefined {
  const supported = providers.some((provider) => provider["supports_tools"]);
  return providers.length && !supported ? "none" : undefined;
}

function inputsOf(entry: Json): unknown[] {
  return array(object(entry["architecture"])["input_modalities"]);
}

const ENGINES: Readonly<Record<string, string>> = {
  vllm: "vLLM",
  llamacpp: "llama.cpp",
  sglang: "SGLang",
  library: "Ollama",
  organization_owner: "LM Studio",
  stoker: "Stoker",
};

function engineName(ownedBy: string | undefined, providers: Json[]): string {
  if (providers.length) return "Hugging Face";
  return (ownedBy && (ENGINES[ownedBy] ?? ownedBy)) || l10n.t("OpenAI-compatible");
}
