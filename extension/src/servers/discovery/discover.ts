/** What an endpoint serves, asked of the endpoint itself. Each server tells it elsewhere. */

import { l10n } from "vscode";
import { HttpError, ifRefused, requestJson, type Server } from "../../api/apiClient";
import { array, object, positive, string, type Json } from "../../api/narrow";

export interface ServedModel {
  /** The name that requests use. */
  readonly id: string;
  /** Tokens of prompt and answer together; undefined where the server does not tell. */
  readonly maxModelLen: number | undefined;
  readonly engine: string;
  readonly quantization: string | undefined;
  readonly tools: "native" | "emulated" | "none" | undefined;
  readonly vision: boolean;
  readonly reasoning: boolean;
  /** Whether Stoker's gateway makes every prompt fit `maxModelLen` itself. */
  readonly fits: boolean;
}

/** The id that stands for whichever model an endpoint serves first. The gateway takes it as a
 * model's name too, and lists it. */
export const LOCAL = "local";

export interface Discovery {
  readonly models: ServedModel[];
  /** The model that the gateway itself means by `local`: the first that chats and is up. */
  readonly local: string | undefined;
  /** What `glance` says while nothing has changed. */
  readonly seen: string;
  /** Where the server tells which models are loaded, if it loads them one by one. */
  readonly loadedAt: string | undefined;
}

const TIMEOUT_MS = 5000;

/** The chat models that `server` offers now.
 * @throws HttpError, ConnectionError where `/v1/models` fails */
export async function discover(server: Server, signal?: AbortSignal): Promise<Discovery> {
  const listed = await ask(server, "/v1/models", signal);
  const all = array(object(listed)["data"]).map(object);
  const local = string(all.find(isGatewaysAlias)?.["root"]);
  const entries = all.filter(isChatModel);
  if (entries.length === 0) return { models: [], local, seen: summary(listed), loadedAt: undefined };
  const known = entries.map((entry) => fromEntry(entry));
  const info = object(await ask(server, "/info", signal).catch(ifRefused));
  const complete = known.every((model) => model.maxModelLen !== undefined);
  const found = complete ? noDetails : await findDetails(server, info, signal);
  const models = await Promise.all(
    known.map(async (model) => withInfo({ ...model, ...(await found.details(model.id)) }, info)),
  );
  return { models, local, seen: summary(listed, found.loaded), loadedAt: found.loadedAt };
}

/** What changes when a server begins to serve something else: one cheap question, and another
 * where a model's context changes as it is loaded (`loadedAt`). */
export async function glance(server: Server, loadedAt?: string): Promise<string> {
  const [listed, loaded] = await Promise.all([
    ask(server, "/v1/models"),
    loadedAt ? ask(server, loadedAt) : undefined,
  ]);
  return summary(listed, loaded);
}

function summary(listed: unknown, loaded?: unknown): string {
  const entries = array(object(listed)["data"]).map(object);
  const contexts = array(object(loaded)["models"]).map(object);
  return JSON.stringify([
    entries.map(({ id, root, max_model_len, capabilities, meta }) => [
      id,
      root,
      max_model_len,
      capabilities,
      meta,
    ]),
    contexts.map(({ name, key, context_length, loaded_instances }) => [
      name ?? key,
      context_length ?? array(loaded_instances).map((each) => object(each)["config"]),
    ]),
  ]);
}

async function ask(server: Server, path: string, signal?: AbortSignal, body?: unknown) {
  const options = { timeoutMs: TIMEOUT_MS, ...(signal && { signal }), body };
  return requestJson(server, path, options);
}

function isChatModel(entry: Json): boolean {
  // The gateway says what chats; elsewhere the name is all there is.
  const { chat } = object(entry["capabilities"]);
  if (isGatewaysAlias(entry) || chat === false) return false;
  const id = string(entry["id"]);
  return id !== undefined && (chat === true || !/embed|rerank/i.test(id));
}

/** The gateway lists `local` beside the model that it stands for: the catalogue has its own. */
function isGatewaysAlias(entry: Json): boolean {
  return entry["owned_by"] === "stoker" && entry["id"] === LOCAL && string(entry["root"]) !== undefined;
}

function fromEntry(entry: Json): ServedModel {
  const capabilities = object(entry["capabilities"]);
  const providers = array(entry["providers"]).map(object);
  const tools = capabilities["tools"];
  return {
    id: String(entry["id"]),
    maxModelLen: positive(entry["max_model_len"]) ?? routerContext(providers),
    engine: engineName(string(entry["owned_by"]), providers),
    quantization: string(entry["quantization"]),
    tools:
      tools === "native" || tools === "emulated" || tools === "none"
        ? tools
        : providers.length && !providers.some((provider) => provider["supports_tools"])
          ? "none"
          : undefined,
    vision: capabilities["vision"] === true || inputs(entry).includes("image"),
    reasoning: capabilities["reasoning"] === true,
    fits: entry["owned_by"] === "stoker" && capabilities["fits"] === true,
  };
}

/** Hugging Face's router lists who serves a model; it may choose any of them. */
function routerContext(providers: Json[]): number | undefined {
  const contexts = providers.flatMap((provider) => positive(provider["context_length"]) ?? []);
  return contexts.length ? Math.min(...contexts) : undefined;
}

function inputs(entry: Json): unknown[] {
  return array(object(entry["architecture"])["input_modalities"]);
}

function engineName(ownedBy: string | undefined, providers: Json[]): string {
  if (providers.length) return "Hugging Face";
  const names: Record<string, string> = {
    vllm: "vLLM",
    llamacpp: "llama.cpp",
    sglang: "SGLang",
    library: "Ollama",
    organization_owner: "LM Studio",
    stoker: "Stoker",
  };
  return (ownedBy && (names[ownedBy] ?? ownedBy)) || l10n.t("OpenAI-compatible");
}

/** What `/info` adds: the engine behind the gateway, TGI's quantization. */
function withInfo(model: ServedModel, info: Json): ServedModel {
  const backends = array(info["backends"]).map(object);
  const backend = backends.find((each) => array(each["models"]).includes(model.id));
  return {
    ...model,
    engine: string(backend?.["engine"]) ?? string(info["engine"]) ?? model.engine,
    quantization: model.quantization ?? string(info["quantize"]),
  };
}

type Details = Partial<ServedModel>;

interface Found {
  readonly details: (id: string) => Promise<Details>;
  /** For servers that load models one by one: where they tell it, and what they told. */
  readonly loadedAt?: string;
  readonly loaded?: Json;
}

const noDetails: Found = { details: async () => ({}) };

async function findDetails(server: Server, info: Json, signal?: AbortSignal): Promise<Found> {
  const tgi = positive(info["max_total_tokens"]);
  if (tgi) return { details: async () => ({ maxModelLen: tgi, engine: "TGI" }) };
  const [props, running, loaded] = await Promise.all(
    ["/props", "/api/ps", "/api/v1/models"].map((path) =>
      ask(server, path, signal).then(object, ifRefused),
    ),
  );
  const slot = object(props?.["default_generation_settings"]);
  if (positive(slot["n_ctx"])) return { details: async () => llamaCpp(props ?? {}, slot) };
  if (running?.["models"]) {
    const details = (id: string) => ollama(server, array(running["models"]), id, signal);
    return { details, loadedAt: "/api/ps", loaded: running };
  }
  if (loaded?.["models"]) {
    const details = async (id: string) => lmStudio(array(loaded["models"]), id);
    return { details, loadedAt: "/api/v1/models", loaded };
  }
  return noDetails;
}

function llamaCpp(props: Json, slot: Json): Details {
  return {
    maxModelLen: positive(slot["n_ctx"]),
    engine: "llama.cpp",
    vision: object(props["modalities"])["vision"] === true,
    quantization: string(props["model_ftype"]),
  };
}

async function ollama(
  server: Server,
  running: unknown[],
  id: string,
  signal?: AbortSignal,
): Promise<Details> {
  const loaded = running.map(object).find((model) => model["name"] === id);
  const shown = object(
    await ask(server, "/api/show", signal, { model: id }).catch(ifRefused),
  );
  const capabilities = array(shown["capabilities"]);
  return {
    // What it was made for says nothing: only once it is loaded does its context stand.
    maxModelLen: positive(loaded?.["context_length"]),
    engine: "Ollama",
    quantization: string(object(shown["details"])["quantization_level"]),
    tools: capabilities.length && !capabilities.includes("tools") ? "none" : undefined,
    vision: capabilities.includes("vision"),
    reasoning: capabilities.includes("thinking"),
  };
}

function lmStudio(models: unknown[], id: string): Details {
  const model = models.map(object).find((entry) => entry["key"] === id || entry["id"] === id);
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

/** Whether the failure says that the server is not there (and not that it refused us). */
export function isUnreachable(error: unknown): boolean {
  return !(error instanceof HttpError) || error.status >= 500;
}
