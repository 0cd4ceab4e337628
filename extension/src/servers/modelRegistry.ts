/** Which models there are now. Asks each server at most once at a time, and keeps the models of one
 * that fails for the moment. */

import * as vscode from "vscode";
import { messageOf } from "../api/narrow";
import { discover, fingerprint } from "./discovery/discover";
import type { ServedModel } from "./discovery/servedModel";
import { EntryBuilder } from "./entryBuilder";
import type { LastServedModels } from "./lastServedModels";
import { hasModel, type ModelEntry, type Source } from "./modelEntry";

export interface Outage {
  readonly source: Source;
  readonly error: unknown;
}

interface Answered {
  readonly fingerprint: string;
  readonly loadedAt: string | undefined;
  readonly entries: readonly ModelEntry[];
  readonly infill: readonly string[];
}

/** A model of the endpoint that completes code. */
export interface InfillModel {
  readonly id: string;
  readonly source: Source;
}

const FRESH_MS = 10_000;
/** Bounds the ids kept after their models are gone: each costs VS Code a hidden entry. */
const MAX_GONE = 32;

export class ModelRegistry implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private running: Promise<readonly ModelEntry[]> | undefined;
  private refreshedAt = -Infinity;
  private generation = 0;
  /** The last answer of each server, by its address. */
  private answers = new Map<string, Answered>();
  private builder = new EntryBuilder();
  /** Ids that were offered in this window, the last used and offered first. */
  private seen: readonly string[] = [];
  private reported = "";
  /** The entries of the last refresh. */
  current: readonly ModelEntry[] = [];
  /** The sources that did not answer in the last refresh. */
  outages: readonly Outage[] = [];
  sources: readonly Source[] = [];

  constructor(
    private readonly readSources: () => Promise<readonly Source[]>,
    private readonly lastServed: LastServedModels,
    private readonly log: vscode.LogOutputChannel,
    private readonly now: () => number = Date.now,
  ) {}

  /** The entries, at most 10 s old. Never throws: `outages` holds what failed. */
  async entries(): Promise<readonly ModelEntry[]> {
    if (!this.running && this.now() - this.refreshedAt < FRESH_MS) return this.current;
    return this.refresh();
  }

  /** Asks the servers again, or joins the refresh that is already running. */
  refresh(): Promise<readonly ModelEntry[]> {
    this.running ??= this.ask(this.generation);
    return this.running;
  }

  /** Refreshes if anything has changed; costs one or two small requests while nothing has. */
  async poll(): Promise<void> {
    if (this.running) return;
    if (this.outages.length || (await this.hasChanged())) await this.refresh();
  }

  /** Forgets everything: the endpoint or a key has changed. */
  reset(): Promise<readonly ModelEntry[]> {
    this.generation += 1;
    this.running = undefined;
    this.refreshedAt = -Infinity;
    this.answers.clear();
    this.builder = new EntryBuilder();
    return this.refresh();
  }

  /** Each model once: the entries without `local`, which is one of them. */
  get models(): readonly ModelEntry[] {
    return this.current.filter(({ isAlias }) => !isAlias);
  }

  /** The endpoint's models that complete code; none while it is down. */
  get infillModels(): readonly InfillModel[] {
    const endpoint = this.sources.find(({ prefix }) => !prefix);
    if (!endpoint || this.outageOf(endpoint)) return [];
    const { infill } = this.answers.get(endpoint.server.base) ?? { infill: [] };
    return infill.map((id) => ({ id, source: endpoint }));
  }

  /** Ids that VS Code may still hold although their models are no longer served. */
  get gone(): readonly string[] {
    return this.seen.filter((id) => !this.find(id));
  }

  find(id: string): ModelEntry | undefined {
    return this.current.find((entry) => entry.id === id);
  }

  /** The entry with this id, after a refresh unless its server is known to serve it. */
  async findFresh(id: string): Promise<ModelEntry | undefined> {
    const known = this.find(id);
    if (!known || !hasModel(known) || this.outageOf(known.source)) await this.refresh();
    const entry = this.find(id);
    return entry && hasModel(entry) ? entry : undefined;
  }

  /** Why the source did not answer in the last refresh. */
  outageOf(source: Source | undefined): Outage | undefined {
    return this.outages.find((outage) => outage.source.label === source?.label);
  }

  /** Keeps the id of a model in use: if the model goes, the chat can still explain why. */
  markUsed(entry: ModelEntry): void {
    this.see([entry.id]);
  }

  /** A server refused a prompt and reported its real limit. */
  learnContext(entry: ModelEntry, limit: number): void {
    if (limit >= entry.context && entry.model.maxModelLen !== undefined) return;
    this.current = this.builder.learnContext(this.current, entry, limit);
    this.reportChange();
  }

  dispose(): void {
    this.changed.dispose();
  }

  /** Looks at the endpoint only: Hugging Face's list is long and seldom changes, so opening the picker
   * is soon enough for it. */
  private async hasChanged(): Promise<boolean> {
    const endpoint = this.sources.find(({ prefix }) => !prefix);
    const last = endpoint && this.answers.get(endpoint.server.base);
    if (!last) return false;
    const now = await fingerprint(endpoint.server, last.loadedAt).catch(() => undefined);
    return now !== last.fingerprint;
  }

  private async ask(generation: number): Promise<readonly ModelEntry[]> {
    let sources, found;
    try {
      sources = await this.readSources();
      found = await Promise.all(sources.map((source) => this.askSource(source)));
    } catch (error) {
      // The settings cannot be read. The message may quote them: log only the kind of error.
      this.log.error(`cannot look for models: ${error instanceof Error ? error.name : "error"}`);
      return this.current;
    } finally {
      if (generation === this.generation) this.running = undefined;
    }
    if (generation !== this.generation) return this.refresh();
    this.refreshedAt = found.some(({ outage }) => outage) ? -Infinity : this.now();
    this.sources = sources;
    this.current = found.flatMap(({ entries }) => entries);
    this.outages = found.flatMap(({ outage }) => outage ?? []);
    this.see(this.current.map(({ id }) => id));
    this.reportChange();
    return this.current;
  }

  private async askSource(
    source: Source,
  ): Promise<{ entries: readonly ModelEntry[]; outage?: Outage }> {
    const { base } = source.server;
    const last = this.answers.get(base)?.entries;
    try {
      const { models, local, ...rest } = await discover(source.server);
      const entries = this.builder.build(source, models, last ?? [], local);
      this.answers.set(base, { entries, ...rest });
      if (!source.prefix) await this.remember(base, models);
      return { entries };
    } catch (error) {
      this.log.debug(`${source.label}: ${messageOf(error)}`);
      this.builder.forgetCounters(source.server);
      // A model that is no longer offered could not explain in the chat why it does not answer.
      const entries = last ?? this.builder.build(source, this.lastServed.of(base), []);
      return { entries, outage: { source, error } };
    }
  }

  private async remember(base: string, models: readonly ServedModel[]): Promise<void> {
    try {
      await this.lastServed.save(base, models);
    } catch {
      this.log.warn("cannot store the models for the next window");
    }
  }

  private see(ids: readonly string[]): void {
    const others = this.seen.filter((id) => !ids.includes(id));
    this.seen = [...ids, ...others.slice(0, MAX_GONE)];
  }

  /** The first refresh is a change even where there are no models: only then is that known. */
  private reportChange(): void {
    const summary = this.summary();
    if (summary === this.reported) return;
    this.reported = summary;
    this.changed.fire();
  }

  /** What the user would see change. */
  private summary(): string {
    return JSON.stringify([
      this.sources.map(({ label }) => label),
      this.current.map(({ id, model, context }) => [id, model, context]),
      this.outages.map(({ source, error }) => [source.label, String(error)]),
      this.infillModels.map(({ id }) => id),
    ]);
  }
}
