/** Token counts from the served model's own tokenizer, in few requests. */

import { ifRefused, requestJson, type Server } from "../api/apiClient";
import { array, object, positive } from "../api/narrow";
import type { ChatRequest, WireMessage } from "../chat/openaiMessages";

/** Counts of several texts, in one request where the server can. */
type CountAll = (texts: string[]) => Promise<number[]>;

interface Tokenizer {
  readonly exact: boolean;
  readonly countAll: CountAll;
  /** What the chat template adds to each message. */
  readonly perMessage: number;
  /** The whole prompt as the server's own template renders it, tools included. */
  readonly countPrompt?: (request: ChatRequest) => Promise<number | undefined>;
}

const CACHED_CHARS = 4_000_000;
const BATCH_TEXTS = 1000;
const BATCH_CHARS = 200_000;
const TIMEOUT_MS = 20_000;
/** Characters a token where nothing is known yet: code in common tokenizers has 3 to 4. */
const FIRST_CHARS_PER_TOKEN = 3;
/** A template's role marks where nobody tells: ChatML has 4 to 5. */
const USUAL_PER_MESSAGE = 5;
/** What common vision models make of one image of a screen; no server's tokenizer counts images. */
const IMAGE_TOKENS = 1024;

export class TokenCounter {
  private readonly counts = new Map<string, number>();
  private cachedChars = 0;
  private waiting = new Map<string, Resolve[]>();
  private tokenizer: Promise<Tokenizer> | undefined;
  private charsPerToken = FIRST_CHARS_PER_TOKEN;
  /** Requests sent so far, for the log and for tests. */
  requests = 0;

  constructor(
    private readonly server: Server,
    private readonly model: string,
  ) {}

  /** Tokens of `text` with nothing around it. Calls made at the same time share a request. */
  count(text: string): Promise<number> {
    if (text === "") return Promise.resolve(0);
    const known = this.recall(text);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => {
      if (this.waiting.size === 0) setTimeout(() => void this.flush(), 0);
      this.waiting.set(text, [...(this.waiting.get(text) ?? []), resolve]);
    });
  }

  knows(text: string): boolean {
    return this.counts.has(text);
  }

  async countMessages(messages: readonly WireMessage[]): Promise<number> {
    const { perMessage } = await this.readyOrEstimating();
    const texts = messages.flatMap(textsOf);
    const counts = await Promise.all(texts.map((text) => this.count(text)));
    const images = messages.reduce((sum, message) => sum + imagesIn(message), 0);
    const fixed = messages.length * perMessage + images * IMAGE_TOKENS;
    return counts.reduce((sum, count) => sum + count, fixed);
  }

  /** The prompt of `request`: from the server where it counts whole prompts, else the sum. */
  async countPrompt(request: ChatRequest): Promise<number> {
    const { countPrompt } = await this.readyOrEstimating();
    const whole = await countPrompt?.(request).catch(ifRefused);
    if (whole) return whole;
    const tools = (request.tools ?? []).map((tool) => this.count(JSON.stringify(tool)));
    const counts = await Promise.all(tools);
    return counts.reduce((sum, count) => sum + count, await this.countMessages(request.messages));
  }

  /** Whether counts come from the model's own tokenizer. */
  async isExact(): Promise<boolean> {
    return (await this.readyOrEstimating()).exact;
  }

  /** What a whole prompt really cost: the only measure where the server counts nothing. */
  calibrate(promptChars: number, promptTokens: number): void {
    if (promptTokens < 50) return;
    const measured = promptChars / promptTokens;
    this.charsPerToken = Math.min(Math.max(measured, 1), 6);
    void this.isExact().then((exact) => {
      if (!exact) this.forget();
    });
  }

  private async flush(): Promise<void> {
    const waiting = this.waiting;
    this.waiting = new Map();
    for (const texts of batches([...waiting.keys()])) {
      try {
        const { countAll } = await this.ready();
        const counts = await countAll(texts);
        texts.forEach((text, at) => {
          const count = counts[at] ?? this.estimate(text);
          this.remember(text, count);
          waiting.get(text)?.forEach((resolve) => resolve(count));
        });
      } catch {
        // The server blinked. VS Code needs a number now; nothing of it is remembered.
        for (const text of texts) {
          waiting.get(text)?.forEach((resolve) => resolve(this.estimate(text)));
        }
      }
    }
  }

  private ready(): Promise<Tokenizer> {
    this.tokenizer ??= this.detect().catch((error: unknown) => {
      this.tokenizer = undefined;
      throw error;
    });
    return this.tokenizer;
  }

  private readyOrEstimating(): Promise<Tokenizer> {
    return this.ready().catch(() => this.estimating());
  }

  /** The first way of counting that this server has. */
  private async detect(): Promise<Tokenizer> {
    for (const find of [this.batching, this.single, this.llamaCpp, this.tgi]) {
      const found = await find.call(this).catch(ifRefused);
      if (found) return found;
    }
    return this.estimating();
  }

  private estimating(): Tokenizer {
    const countAll = async (texts: string[]) => texts.map((text) => this.estimate(text));
    return { exact: false, countAll, perMessage: USUAL_PER_MESSAGE };
  }

  private estimate(text: string): number {
    return Math.ceil(text.length / this.charsPerToken);
  }

  /** The gateway (`counts`) and SGLang (`count` as a list) take many prompts at once. */
  private async batching(): Promise<Tokenizer | undefined> {
    for (const path of ["/tokenize", "/v1/tokenize"]) {
      const countAll: CountAll = async (prompt) => {
        const body = { model: this.model, prompt, add_special_tokens: false };
        const answer = object(await this.post(path, body));
        return numbers(answer["counts"] ?? answer["count"]);
      };
      const probe = await countAll(["a b", "c"]).catch(ifRefused);
      if (probe?.length === 2) {
        const perMessage = await this.measured(this.chatCount);
        return { exact: true, countAll, perMessage, countPrompt: this.wholePrompt };
      }
    }
    return undefined;
  }

  /** vLLM: one prompt a request. */
  private async single(): Promise<Tokenizer | undefined> {
    const ids: Ids = async (prompt) => {
      const body = { model: this.model, prompt, add_special_tokens: false };
      return array(object(await this.post("/tokenize", body))["tokens"]);
    };
    if ((await ids("a b")).length === 0) return undefined;
    const perMessage = await this.measured(this.chatCount);
    const mark = await this.vllmMark();
    const countAll = await joining(ids, mark);
    return { exact: true, countAll, perMessage, countPrompt: this.wholePrompt };
  }

  private async llamaCpp(): Promise<Tokenizer | undefined> {
    const ids: Ids = async (content) => {
      const body = { model: this.model, content, add_special: false, parse_special: true };
      return array(object(await this.post("/tokenize", body))["tokens"]);
    };
    if ((await ids("a b")).length === 0) return undefined;
    const perMessage = await this.measured(async (messages) => {
      const rendered = object(await this.post("/apply-template", { messages }))["prompt"];
      return typeof rendered === "string" ? (await ids(rendered)).length : undefined;
    });
    const props = object(await this.get("/props").catch(ifRefused));
    const mark = [props["eos_token"], props["bos_token"]].find((token) => token);
    return { exact: true, countAll: await joining(ids, mark), perMessage };
  }

  private async tgi(): Promise<Tokenizer | undefined> {
    const ids: Ids = async (inputs) =>
      array(await this.post("/tokenize", { inputs, add_special_tokens: false }));
    if ((await ids("a b")).length === 0) return undefined;
    return { exact: true, countAll: oneByOne(ids), perMessage: USUAL_PER_MESSAGE };
  }

  private readonly wholePrompt = async ({ model, messages, tools }: ChatRequest) =>
    positive(object(await this.post("/tokenize", { model, messages, tools }))["count"]);

  private readonly chatCount: ChatCount = async (messages) => {
    const body = { model: this.model, messages, add_generation_prompt: false };
    return positive(object(await this.post("/tokenize", body))["count"]);
  };

  /** What the template puts around a message: two more messages, less their own text. */
  private async measured(chat: ChatCount): Promise<number> {
    const turn = { role: "user", content: "x" };
    try {
      const one = await chat([turn]);
      const three = await chat([turn, { role: "assistant", content: "x" }, turn]);
      if (!one || !three) return USUAL_PER_MESSAGE;
      return Math.max(0, Math.ceil((three - one) / 2) - 1);
    } catch (error) {
      ifRefused(error);
      return USUAL_PER_MESSAGE;
    }
  }

  /** A special token's text, from the strings of a rendered message. */
  private async vllmMark(): Promise<unknown> {
    const messages = [{ role: "user", content: "x" }];
    const body = { model: this.model, messages, return_token_strs: true };
    const answer = object(await this.post("/tokenize", body).catch(ifRefused));
    return array(answer["token_strs"]).find((text) => /^<.+>$/.test(String(text)));
  }

  private post(path: string, body: unknown): Promise<unknown> {
    this.requests += 1;
    return requestJson(this.server, path, { body, timeoutMs: TIMEOUT_MS });
  }

  private get(path: string): Promise<unknown> {
    this.requests += 1;
    return requestJson(this.server, path, { timeoutMs: TIMEOUT_MS });
  }

  private recall(text: string): number | undefined {
    const count = this.counts.get(text);
    if (count === undefined) return undefined;
    // Map keeps the order of insertion: the last used goes to the end.
    this.counts.delete(text);
    this.counts.set(text, count);
    return count;
  }

  private remember(text: string, count: number): void {
    this.cachedChars += this.counts.has(text) ? 0 : text.length;
    this.counts.set(text, count);
    for (const oldest of this.counts.keys()) {
      if (this.cachedChars <= CACHED_CHARS) break;
      this.counts.delete(oldest);
      this.cachedChars -= oldest.length;
    }
  }

  private forget(): void {
    this.counts.clear();
    this.cachedChars = 0;
  }
}

/** Tokens of what is put to a model that is not there: it must not cost the question its answer. */
export function guessedTokens(text: string | readonly WireMessage[]): number {
  const texts = typeof text === "string" ? [text] : text.flatMap(textsOf);
  return Math.ceil(texts.join("").length / FIRST_CHARS_PER_TOKEN);
}

type Resolve = (count: number) => void;
type Ids = (text: string) => Promise<unknown[]>;
type ChatCount = (messages: unknown[]) => Promise<number | undefined>;

/** The strings that a message puts into the prompt. */
export function textsOf(message: WireMessage): string[] {
  const content =
    typeof message.content === "string"
      ? [message.content]
      : message.content.flatMap((item) => (item.type === "text" ? [item.text] : []));
  // Apart, as a template writes them: the arguments are JSON text already.
  const calls = (message.tool_calls ?? []).flatMap(({ function: fn }) => [fn.name, fn.arguments]);
  return [...content, ...calls];
}

function imagesIn(message: WireMessage): number {
  if (typeof message.content === "string") return 0;
  return message.content.filter((item) => item.type === "image_url").length;
}

function numbers(value: unknown): number[] {
  return array(value).filter((item): item is number => typeof item === "number");
}

/** Counts many texts in one request to a server that takes one: a special token between two texts
 * is one id, and no tokenizer merges across it. Proven against the server before it is used. */
async function joining(ids: Ids, mark: unknown): Promise<CountAll> {
  const alone = oneByOne(ids);
  const markId = typeof mark === "string" && mark ? await ids(mark) : [];
  if (typeof mark !== "string" || markId.length !== 1) return alone;
  const split: CountAll = async (texts) => splitCounts(await ids(texts.join(mark)), markId[0]);
  const probes = ['"k": 1 ', " a b", "\n"];
  const [joint, single] = await Promise.all([split(probes), alone(probes)]);
  if (joint.join() !== single.join()) return alone;
  return async (texts) => {
    const plain = texts.filter((text) => !text.includes(mark));
    const counts = new Map(zip(plain, plain.length ? await split(plain) : []));
    const others = texts.filter((text) => !counts.has(text));
    for (const [text, count] of zip(others, await alone(others))) counts.set(text, count);
    return texts.map((text) => counts.get(text) ?? 0);
  };
}

function splitCounts(ids: readonly unknown[], mark: unknown): number[] {
  const counts = [0];
  for (const id of ids) {
    if (id === mark) counts.push(0);
    else counts[counts.length - 1]! += 1;
  }
  return counts;
}

function zip(texts: string[], counts: number[]): [string, number][] {
  return texts.flatMap((text, at) => {
    const count = counts[at];
    return count === undefined ? [] : [[text, count] as [string, number]];
  });
}

/** Eight at a time: a server's tokenizer is fast, its connection queue is not endless. */
function oneByOne(ids: Ids): CountAll {
  return async (texts) => {
    const counts: number[] = [];
    for (let at = 0; at < texts.length; at += 8) {
      const some = await Promise.all(texts.slice(at, at + 8).map(ids));
      counts.push(...some.map((found) => found.length));
    }
    return counts;
  };
}

function* batches(texts: string[]): Generator<string[]> {
  let batch: string[] = [];
  let chars = 0;
  for (const text of texts) {
    if (batch.length === BATCH_TEXTS || (chars + text.length > BATCH_CHARS && batch.length)) {
      yield batch;
      [batch, chars] = [[], 0];
    }
    batch.push(text);
    chars += text.length;
  }
  if (batch.length) yield batch;
}
