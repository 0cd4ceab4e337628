/** Token counts from the served model's own tokenizer, in few requests. */

import { undefinedIfUnsupported, type Server } from "../api/apiClient";
import type { ChatRequest, OpenAIMessage } from "../api/openaiTypes";
import { CountCache } from "./countCache";
import { imagesIn, textsOf } from "./messageTexts";
import {
  detectTokenizer,
  TokenizerClient,
  USUAL_PER_MESSAGE_TOKENS,
  type Tokenizer,
} from "./tokenizers";

const MAX_CACHED_CHARS = 4_000_000;
const BATCH_TEXTS = 1000;
const BATCH_CHARS = 200_000;
/** Before anything was measured: code in common tokenizers has 3 to 4 characters a token. */
const INITIAL_CHARS_PER_TOKEN = 3;
/** What common vision models make of one screenshot; no server's tokenizer counts images. */
const IMAGE_TOKENS = 1024;

type Resolve = (count: number) => void;

export class TokenCounter {
  private readonly client: TokenizerClient;
  private readonly cache = new CountCache(MAX_CACHED_CHARS);
  private waiting = new Map<string, Resolve[]>();
  private tokenizer: Promise<Tokenizer> | undefined;
  private charsPerToken = INITIAL_CHARS_PER_TOKEN;

  constructor(server: Server, model: string) {
    this.client = new TokenizerClient(server, model);
  }

  /** Requests sent so far, for the log and for tests. */
  get requests(): number {
    return this.client.requests;
  }

  /** Tokens of `text` alone. Calls made at the same time share a request. */
  count(text: string): Promise<number> {
    if (text === "") return Promise.resolve(0);
    const cached = this.cache.get(text);
    if (cached !== undefined) return Promise.resolve(cached);
    return new Promise((resolve) => {
      if (this.waiting.size === 0) setTimeout(() => void this.flush(), 0);
      this.waiting.set(text, [...(this.waiting.get(text) ?? []), resolve]);
    });
  }

  /** Whether `text` can be counted without a request. */
  isCached(text: string): boolean {
    return this.cache.has(text);
  }

  async countMessages(messages: readonly OpenAIMessage[]): Promise<number> {
    const { perMessageTokens } = await this.tokenizerOrEstimate();
    const counts = await this.countEach(messages.flatMap(textsOf));
    const images = messages.reduce((sum, message) => sum + imagesIn(message), 0);
    return counts + messages.length * perMessageTokens + images * IMAGE_TOKENS;
  }

  /** The prompt of `request`: from the server where it counts whole prompts, else the sum. */
  async countPrompt(request: ChatRequest): Promise<number> {
    const { countPrompt } = await this.tokenizerOrEstimate();
    const whole = await countPrompt?.(request).catch(undefinedIfUnsupported);
    if (whole) return whole;
    const tools = (request.tools ?? []).map((tool) => JSON.stringify(tool));
    return (await this.countEach(tools)) + (await this.countMessages(request.messages));
  }

  /** Whether counts come from the model's own tokenizer. */
  async isExact(): Promise<boolean> {
    return (await this.tokenizerOrEstimate()).exact;
  }

  /** Corrects estimates by what a whole prompt really cost. */
  calibrate(promptChars: number, promptTokens: number): void {
    if (promptTokens < 50) return;
    const measured = promptChars / promptTokens;
    this.charsPerToken = Math.min(Math.max(measured, 1), 6);
    void this.isExact().then((exact) => {
      if (!exact) this.cache.clear();
    });
  }

  private async countEach(texts: string[]): Promise<number> {
    const counts = await Promise.all(texts.map((text) => this.count(text)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  private async flush(): Promise<void> {
    const waiting = this.waiting;
    this.waiting = new Map();
    for (const texts of batches([...waiting.keys()])) {
      const counts = await this.countBatch(texts);
      texts.forEach((text, at) => {
        const count = counts?.[at] ?? this.estimate(text);
        if (counts) this.cache.set(text, count);
        waiting.get(text)?.forEach((resolve) => resolve(count));
      });
    }
  }

  /** Undefined where the server fails for the moment: VS Code needs a number now, and an estimate
   * must not be cached. */
  private async countBatch(texts: string[]): Promise<number[] | undefined> {
    try {
      const { countAll } = await this.detected();
      return await countAll(texts);
    } catch {
      return undefined;
    }
  }

  private detected(): Promise<Tokenizer> {
    this.tokenizer ??= detectTokenizer(this.client).then(
      (found) => found ?? this.estimating(),
      (error: unknown) => {
        this.tokenizer = undefined;
        throw error;
      },
    );
    return this.tokenizer;
  }

  private tokenizerOrEstimate(): Promise<Tokenizer> {
    return this.detected().catch(() => this.estimating());
  }

  private estimating(): Tokenizer {
    const countAll = async (texts: string[]) => texts.map((text) => this.estimate(text));
    return { exact: false, countAll, perMessageTokens: USUAL_PER_MESSAGE_TOKENS };
  }

  private estimate(text: string): number {
    return Math.ceil(text.length / this.charsPerToken);
  }
}

/** An estimate for a model that is not available. */
export function estimateTokens(text: string | readonly OpenAIMessage[]): number {
  const texts = typeof text === "string" ? [text] : text.flatMap(textsOf);
  return Math.ceil(texts.join("").length / INITIAL_CHARS_PER_TOKEN);
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
