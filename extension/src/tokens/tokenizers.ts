/** How each kind of server counts tokens, found by trying. */

import { requestJson, undefinedIfUnsupported, type Server } from "../api/apiClient";
import type { GatewayFields } from "../api/gatewayApi";
import { array, object, positive } from "../api/narrow";
import type { ChatRequest } from "../api/openaiTypes";
import { countJoined, countSeparately, type CountAll, type Tokenize } from "./separatorCounting";

export interface Tokenizer {
  readonly exact: boolean;
  /** Token counts of several texts, in one request where the server can. */
  readonly countAll: CountAll;
  /** Tokens that the chat template adds to each message. */
  readonly perMessageTokens: number;
  /** Tokens of the whole prompt as the server's own chat template renders it, tools included. */
  readonly countPrompt?: (request: ChatRequest) => Promise<number | undefined>;
}

type CountChat = (messages: unknown[]) => Promise<number | undefined>;

/** Role markers where the server does not render its template: ChatML has 4 to 5. */
export const USUAL_PER_MESSAGE_TOKENS = 5;
const TIMEOUT_MS = 20_000;

/** One model's tokenizer behind HTTP. */
export class TokenizerClient {
  /** Requests sent so far, for the log and for tests. */
  requests = 0;

  constructor(
    private readonly server: Server,
    readonly model: string,
  ) {}

  post(path: string, body: unknown): Promise<unknown> {
    this.requests += 1;
    return requestJson(this.server, path, { body, timeoutMs: TIMEOUT_MS });
  }

  get(path: string): Promise<unknown> {
    this.requests += 1;
    return requestJson(this.server, path, { timeoutMs: TIMEOUT_MS });
  }
}

/** The first way of counting that this server supports; undefined where it cannot count.
 * @throws HttpError, ConnectionError where it fails for the moment */
export async function detectTokenizer(client: TokenizerClient): Promise<Tokenizer | undefined> {
  for (const find of [batchTokenizer, vllmTokenizer, llamaCppTokenizer, tgiTokenizer]) {
    const found = await find(client).catch(undefinedIfUnsupported);
    if (found) return found;
  }
  return undefined;
}

/** Stoker's gateway (`counts`) and SGLang (`count` as a list) take many prompts at once. */
async function batchTokenizer(client: TokenizerClient): Promise<Tokenizer | undefined> {
  for (const path of ["/tokenize", "/v1/tokenize"]) {
    const countAll: CountAll = async (prompt) => {
      const body = { model: client.model, prompt, add_special_tokens: false };
      const answer: GatewayFields<"Counts" | "Count"> = object(await client.post(path, body));
      return numbers(answer.counts ?? answer.count);
    };
    const probe = await countAll(["a b", "c"]).catch(undefinedIfUnsupported);
    if (probe?.length === 2) return withChatCounts(client, countAll);
  }
  return undefined;
}

async function vllmTokenizer(client: TokenizerClient): Promise<Tokenizer | undefined> {
  const tokenize: Tokenize = async (prompt) => {
    const body = { model: client.model, prompt, add_special_tokens: false };
    return array(object(await client.post("/tokenize", body))["tokens"]);
  };
  if (!(await answers(tokenize))) return undefined;
  return withChatCounts(client, await countJoined(tokenize, await vllmSpecialToken(client)));
}

async function llamaCppTokenizer(client: TokenizerClient): Promise<Tokenizer | undefined> {
  const tokenize: Tokenize = async (content) => {
    const body = { model: client.model, content, add_special: false, parse_special: true };
    return array(object(await client.post("/tokenize", body))["tokens"]);
  };
  if (!(await answers(tokenize))) return undefined;
  const perMessageTokens = await measurePerMessage(async (messages) => {
    const rendered = object(await client.post("/apply-template", { messages }))["prompt"];
    return typeof rendered === "string" ? (await tokenize(rendered)).length : undefined;
  });
  const props = object(await client.get("/props").catch(undefinedIfUnsupported));
  const separator = [props["eos_token"], props["bos_token"]].find((token) => token);
  return { exact: true, countAll: await countJoined(tokenize, separator), perMessageTokens };
}

async function tgiTokenizer(client: TokenizerClient): Promise<Tokenizer | undefined> {
  const tokenize: Tokenize = async (inputs) =>
    array(await client.post("/tokenize", { inputs, add_special_tokens: false }));
  if (!(await answers(tokenize))) return undefined;
  const perMessageTokens = USUAL_PER_MESSAGE_TOKENS;
  return { exact: true, countAll: countSeparately(tokenize), perMessageTokens };
}

/** For servers whose `/tokenize` also takes `messages`. */
async function withChatCounts(client: TokenizerClient, countAll: CountAll): Promise<Tokenizer> {
  const count = async (body: object) => {
    const answer: GatewayFields<"Count"> = object(await client.post("/tokenize", body));
    return positive(answer.count);
  };
  const { model } = client;
  const perMessageTokens = await measurePerMessage((messages) =>
    count({ model, messages, add_generation_prompt: false }),
  );
  const countPrompt = ({ messages, tools }: ChatRequest) => count({ model, messages, tools });
  return { exact: true, countAll, perMessageTokens, countPrompt };
}

async function answers(tokenize: Tokenize): Promise<boolean> {
  return (await tokenize("a b")).length > 0;
}

/** What the template puts around a message: two more messages, less their own text. */
async function measurePerMessage(countChat: CountChat): Promise<number> {
  const turn = { role: "user", content: "x" };
  try {
    const one = await countChat([turn]);
    const three = await countChat([turn, { role: "assistant", content: "x" }, turn]);
    if (!one || !three) return USUAL_PER_MESSAGE_TOKENS;
    return Math.max(0, Math.ceil((three - one) / 2) - 1);
  } catch (error) {
    return undefinedIfUnsupported(error) ?? USUAL_PER_MESSAGE_TOKENS;
  }
}

/** A special token's text, from the strings of a rendered message. */
async function vllmSpecialToken(client: TokenizerClient): Promise<unknown> {
  const messages = [{ role: "user", content: "x" }];
  const body = { model: client.model, messages, return_token_strs: true };
  const answer = object(await client.post("/tokenize", body).catch(undefinedIfUnsupported));
  return array(answer["token_strs"]).find((text) => /^<.+>$/.test(String(text)));
}

function numbers(value: unknown): number[] {
  return array(value).filter((item): item is number => typeof item === "number");
}
