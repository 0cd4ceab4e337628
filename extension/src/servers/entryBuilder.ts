/** Makes the entries of a server's models, with the token counters and contexts that outlive a refresh. */

import type { Server } from "../api/apiClient";
import { TokenCounter } from "../tokens/tokenCounter";
import { LOCAL, type ServedModel } from "./discovery/servedModel";
import { assumedContext, NO_MODEL, type ModelEntry, type Source } from "./modelEntry";

export class EntryBuilder {
  private readonly counters = new Map<string, TokenCounter>();
  private readonly learnedContexts = new Map<string, number>();

  /** The endpoint's models after `local`; of other sources only their models.
   * @param last the entries that the source had before
   * @param local the model that the server itself means by `local`, if it knows the name */
  build(
    source: Source,
    models: readonly ServedModel[],
    last: readonly ModelEntry[],
    local?: string,
  ): ModelEntry[] {
    const entries = models.map((model) => this.entry(source, model, last));
    if (source.prefix || models.some(({ id }) => id === LOCAL)) return entries;
    const named = entries.find(({ model }) => model.id === local);
    const first = named ?? entries[0] ?? this.entry(source, NO_MODEL, last);
    return [{ ...first, id: LOCAL, isAlias: true }, ...entries];
  }

  /** The entries with `limit` as the context of those that have the model of `entry`. */
  learnContext(
    entries: readonly ModelEntry[],
    { source, model }: ModelEntry,
    limit: number,
  ): ModelEntry[] {
    const key = contextKey(source, model);
    this.learnedContexts.set(key, limit);
    return entries.map((each) =>
      contextKey(each.source, each.model) === key ? { ...each, context: limit } : each,
    );
  }

  /** A server that was down may come back with another model under the same name. */
  forgetCounters({ base }: Server): void {
    const lost = [...this.counters.keys()].filter((key) => key.startsWith(`${base} `));
    for (const key of lost) this.counters.delete(key);
  }

  private entry(source: Source, model: ServedModel, last: readonly ModelEntry[]): ModelEntry {
    const { id, engine } = model;
    // A model that its server has unloaded will be loaded with the same context.
    const before = last.find((entry) => entry.model.id === id && entry.model.engine === engine);
    const context =
      this.learnedContexts.get(contextKey(source, model)) ??
      model.maxModelLen ??
      before?.context ??
      assumedContext(model);
    const key = `${source.server.base} ${id}`;
    const counter = this.counters.get(key) ?? new TokenCounter(source.server, id);
    this.counters.set(key, counter);
    return { id: source.prefix + id, model, source, counter, context, isAlias: false };
  }
}

/** A learned limit holds for as long as the server advertises the same context. */
function contextKey({ server }: Source, { id, maxModelLen }: ServedModel): string {
  return `${server.base} ${id} ${maxModelLen ?? 0}`;
}
