/** Which models there are now: asked at most once at a time, kept while a server blinks. */

import * as vscode from "vscode";
import { discover, glance, type ServedModel } from "./discovery";
import type { Server } from "./http";
import { TokenCounter } from "./tokens";

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
}

export interface Outage {
  readonly source: Source;
  readonly error: unknown;
}

interface Kept {
  readonly at: number;
  readonly seen: string;
  readonly offers: readonly Offer[];
}

/** What a model has where its server tells nothing and has refused nothing yet. */
export const ASSUMED_CONTEXT = 8192;
const FRESH_MS = 10_000;
const KEEP_MS = 10 * 60_000;

export class Catalog implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private running: Promise<readonly Offer[]> | undefined;
  private checkedAt = -Infinity;
  private kept = new Map<string, Kept>();
  private counters = new Map<string, TokenCounter>();
  private learned = new Map<string, number>();
  private generation = 0;
  /** The models there were when last asked. */
  current: readonly Offer[] = [];
  /** The sources that did not answer when last asked. */
  outages: readonly Outage[] = [];
  sources: readonly Source[] = [];

  constructor(
    private readonly readSources: () => Promise<readonly Source[]>,
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

  /** Looks whether anything has changed, with one small request a server. */
  async watch(): Promise<void> {
    if (this.running) return;
    const seen = await Promise.all(
      this.sources.map(({ server }) => glance(server).catch(() => undefined)),
    );
    const same = this.sources.every(
      ({ server }, at) => seen[at] !== undefined && this.kept.get(server.base)?.seen === seen[at],
    );
    const now = this.now();
    if (!same || this.outages.length) await this.refresh();
    else for (const [base, kept] of this.kept) this.kept.set(base, { ...kept, at: now });
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

  find(id: string): Offer | undefined {
    return this.current.find((offer) => offer.id === id);
  }

  /** A server refused a prompt and told its real limit. */
  learn(offer: Offer, limit: number): void {
    if (limit >= offer.context && offer.model.maxModelLen !== undefined) return;
    this.learned.set(learnedKey(offer.source, offer.model), limit);
    this.current = this.current.map((each) =>
      each.id === offer.id ? { ...each, context: limit } : each,
    );
    this.changed.fire();
  }

  dispose(): void {
    this.changed.dispose();
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
    this.checkedAt = found.some(({ error }) => error) ? -Infinity : this.now();
    const before = this.summary();
    this.sources = sources;
    this.current = found.flatMap(({ offers }) => offers);
    this.outages = found.flatMap(({ source, error }) => (error ? [{ source, error }] : []));
    if (this.summary() !== before) this.changed.fire();
    return this.current;
  }

  private async askOne(source: Source) {
    try {
      const [models, seen] = await Promise.all([discover(source.server), glance(source.server)]);
      const offers = models.map((model) => this.offer(source, model));
      this.kept.set(source.server.base, { at: this.now(), offers, seen });
      return { source, offers, error: undefined };
    } catch (error) {
      this.log.debug(`${source.label}: ${error instanceof Error ? error.message : "failed"}`);
      // It may come back with another model under the same name: count anew.
      this.counters.clear();
      const kept = this.kept.get(source.server.base);
      const offers = kept && this.now() - kept.at < KEEP_MS ? kept.offers : [];
      return { source, offers, error: error ?? new Error("failed") };
    }
  }

  private offer(source: Source, model: ServedModel): Offer {
    const context =
      this.learned.get(learnedKey(source, model)) ?? model.maxModelLen ?? ASSUMED_CONTEXT;
    const key = `${source.server.base} ${model.id}`;
    const counter = this.counters.get(key) ?? new TokenCounter(source.server, model.id);
    this.counters.set(key, counter);
    return { id: source.prefix + model.id, model, source, counter, context };
  }

  /** What a person would see change. */
  private summary(): string {
    return JSON.stringify([
      this.sources.map(({ label }) => label),
      this.current.map(({ id, model, context }) => [id, model, context]),
      this.outages.map(({ source }) => source.label),
    ]);
  }
}

/** A limit holds for as long as the server advertises the same context. */
function learnedKey(source: Source, model: ServedModel): string {
  return `${source.server.base} ${model.id} ${model.maxModelLen ?? 0}`;
}
