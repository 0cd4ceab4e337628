/** Which models there are now: asked at most once at a time, kept while a server blinks. */

import * as vscode from "vscode";
import { discover, glance, LOCAL, type ServedModel } from "./discovery/discover";
import type { Server } from "../api/apiClient";
import type { Memory } from "./lastServedModels";
import { TokenCounter } from "../tokens/tokenCounter";

/** A server whose models are offered. */
export interface Source {
  /** Goes before the model's name in the ids that VS Code keeps; empty for the endpoint. */
  readonly prefix: string;
  /** What people call it in messages. */
  readonly label: string;
  readonly server: Server;
}

/** One model that can be chosen. */
export interface Offer {
  /** The id that VS Code keeps. */
  readonly id: string;
  readonly model: ServedModel;
  readonly source: Source;
  readonly counter: TokenCounter;
  /** Tokens of prompt and answer together, as told, learned or assumed. */
  readonly context: number;
  /** Whether this is `local`: whichever model the endpoint serves first. Its id stays chosen when
   * the endpoint begins to serve another model. */
  readonly isAlias: boolean;
}

export interface Outage {
  readonly source: Source;
  readonly error: unknown;
}

interface Kept {
  readonly seen: string;
  readonly loadedAt: string | undefined;
  readonly offers: readonly Offer[];
}

/** What a model has where its server tells nothing and has refused nothing yet. Ollama never
 * refuses, it cuts: this is what it loads a model with on a GPU of less than 24 GiB
 * (https://docs.ollama.com/context-length). */
export function assumedContext(model: ServedModel): number {
  return model.engine === "Ollama" ? 4096 : 8192;
}

/** Stands in for the model of an endpoint that has served none yet. */
const NO_MODEL: ServedModel = {
  id: "",
  maxModelLen: undefined,
  engine: "",
  quantization: undefined,
  tools: undefined,
  vision: false,
  reasoning: false,
  fits: false,
};

/** Whether there is a model behind the offer: `local` is also offered where there is none. */
export function hasModel(offer: Offer): boolean {
  return offer.model !== NO_MODEL;
}

const FRESH_MS = 10_000;
/** Ids that are gone are kept up to this many: each costs the editor a hidden entry. */
const MOST_GONE = 32;

export class Catalog implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private running: Promise<readonly Offer[]> | undefined;
  private checkedAt = -Infinity;
  private kept = new Map<string, Kept>();
  private counters = new Map<string, TokenCounter>();
  private learned = new Map<string, number>();
  private generation = 0;
  /** Ids that were offered in this window, the last used and offered first. */
  private seen: readonly string[] = [];
  /** The models there were when last asked. */
  current: readonly Offer[] = [];
  /** The sources that did not answer when last asked. */
  outages: readonly Outage[] = [];
  sources: readonly Source[] = [];

  constructor(
    private readonly readSources: () => Promise<readonly Source[]>,
    private readonly memory: Memory,
    private readonly log: vscode.LogOutputChannel,
    private readonly now: () => number = Date.now,
  ) {}

  /** The models there are, at most 10 s old. Never throws: `outages` says what failed. */
  async offers(): Promise<readonly Offer[]> {
    if (!this.running && this.now() - this.checkedAt < FRESH_MS) return this.current;
    return this.refresh();
  }

  /** Asks the servers again, or joins the question that is already out. */
  refresh(): Promise<readonly Offer[]> {
    this.running ??= this.ask(this.generation);
    return this.running;
  }

  /** Looks whether anything has changed, with one or two small requests while nothing has. */
  async watch(): Promise<void> {
    if (this.running) return;
    if (this.outages.length || (await this.hasChanged())) await this.refresh();
  }

  /** Forgets everything: the endpoint or a key has changed. */
  reset(): Promise<readonly Offer[]> {
    this.generation += 1;
    this.running = undefined;
    this.checkedAt = -Infinity;
    this.kept.clear();
    this.counters.clear();
    this.learned.clear();
    return this.refresh();
  }

  /** The models there are, each once: without `local`, which is one of them. */
  get models(): readonly Offer[] {
    return this.current.filter(({ isAlias }) => !isAlias);
  }

  /** The ids that this window may still hold and that name nothing now. */
  get gone(): readonly string[] {
    return this.seen.filter((id) => !this.find(id));
  }

  find(id: string): Offer | undefined {
    return this.current.find((offer) => offer.id === id);
  }

  /** Why the source did not answer when last asked. */
  outageOf(source: Source | undefined): Outage | undefined {
    return this.outages.find((outage) => outage.source.label === source?.label);
  }

  /** A question is put to this model: should the model go, its id is still answered for. */
  use(offer: Offer): void {
    this.see([offer.id]);
  }

  /** A server refused a prompt and told its real limit. */
  learn(offer: Offer, limit: number): void {
    if (limit >= offer.context && offer.model.maxModelLen !== undefined) return;
    const key = learnedKey(offer.source, offer.model);
    this.learned.set(key, limit);
    this.current = this.current.map((each) =>
      learnedKey(each.source, each.model) === key ? { ...each, context: limit } : each,
    );
    this.changed.fire();
  }

  dispose(): void {
    this.changed.dispose();
  }

  /** Only the endpoint is looked at: Hugging Face's list is long and changes seldom, so opening
   * the picker is soon enough for it. */
  private async hasChanged(): Promise<boolean> {
    const endpoint = this.sources.find(({ prefix }) => !prefix);
    const kept = endpoint && this.kept.get(endpoint.server.base);
    if (!kept) return false;
    const seen = await glance(endpoint.server, kept.loadedAt).catch(() => undefined);
    if (seen !== kept.seen) return true;
    return false;
  }

  private async ask(generation: number): Promise<readonly Offer[]> {
    let sources, found;
    try {
      sources = await this.readSources();
      found = await Promise.all(sources.map((source) => this.askOne(source)));
    } catch (error) {
      // The settings cannot be read. Its words may quote them: only its kind is safe to log.
      this.log.error(`cannot look for models: ${error instanceof Error ? error.name : "error"}`);
      return this.current;
    } finally {
      if (generation === this.generation) this.running = undefined;
    }
    if (generation !== this.generation) return this.refresh();
    this.checkedAt = found.some(({ outage }) => outage) ? -Infinity : this.now();
    const before = this.summary();
    this.sources = sources;
    this.current = found.flatMap(({ offers }) => offers);
    this.outages = found.flatMap(({ outage }) => outage ?? []);
    this.see(this.current.map(({ id }) => id));
    if (this.summary() !== before) this.changed.fire();
    return this.current;
  }

  private async askOne(source: Source): Promise<{ offers: readonly Offer[]; outage?: Outage }> {
    try {
      const { models, local, ...rest } = await discover(source.server);
      const offers = this.offersOf(source, models, local);
      this.kept.set(source.server.base, { offers, ...rest });
      if (!source.prefix) await this.remember(source, models);
      return { offers };
    } catch (error) {
      this.log.debug(`${source.label}: ${error instanceof Error ? error.message : "failed"}`);
      // It may come back with another model under the same name: count anew.
      const lost = [...this.counters.keys()].filter((key) => key.startsWith(`${source.server.base} `));
      for (const key of lost) this.counters.delete(key);
      const kept = this.kept.get(source.server.base);
      // What is no longer offered cannot say why it does not answer.
      const offers = kept?.offers ?? this.offersOf(source, this.memory.lastServed(source.server.base));
      return { offers, outage: { source, error } };
    }
  }

  private async remember(source: Source, models: readonly ServedModel[]): Promise<void> {
    try {
      await this.memory.served(source.server.base, models);
    } catch {
      this.log.warn("the models cannot be remembered for the next window");
    }
  }

  private see(ids: readonly string[]): void {
    const others = this.seen.filter((id) => !ids.includes(id));
    this.seen = [...ids, ...others.slice(0, MOST_GONE)];
  }

  /** The endpoint's models, after `local`; of other sources only their models.
   * @param local the model that the server itself means by `local`, if it knows the name */
  private offersOf(source: Source, models: readonly ServedModel[], local?: string): Offer[] {
    const offers = models.map((model) => this.offer(source, model));
    if (source.prefix || models.some(({ id }) => id === LOCAL)) return offers;
    const named = offers.find(({ model }) => model.id === local);
    const first = named ?? offers[0] ?? this.offer(source, NO_MODEL);
    return [{ ...first, id: LOCAL, isAlias: true }, ...offers];
  }

  private offer(source: Source, model: ServedModel): Offer {
    const context =
      this.learned.get(learnedKey(source, model)) ??
      model.maxModelLen ??
      this.lastContext(source, model) ??
      assumedContext(model);
    const key = `${source.server.base} ${model.id}`;
    const counter = this.counters.get(key) ?? new TokenCounter(source.server, model.id);
    this.counters.set(key, counter);
    return { id: source.prefix + model.id, model, source, counter, context, isAlias: false };
  }

  /** What the model had before its server unloaded it: it will be loaded like that again. */
  private lastContext(source: Source, model: ServedModel): number | undefined {
    const offers = this.kept.get(source.server.base)?.offers ?? [];
    return offers.find(({ model: { id, engine } }) => id === model.id && engine === model.engine)
      ?.context;
  }

  /** What a person would see change. */
  private summary(): string {
    return JSON.stringify([
      this.sources.map(({ label }) => label),
      this.current.map(({ id, model, context }) => [id, model, context]),
      this.outages.map(({ source, error }) => [source.label, String(error)]),
    ]);
  }
}

/** A limit holds for as long as the server advertises the same context. */
function learnedKey(source: Source, model: ServedModel): string {
  return `${source.server.base} ${model.id} ${model.maxModelLen ?? 0}`;
}
