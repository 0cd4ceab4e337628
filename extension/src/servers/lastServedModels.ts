/** What the endpoint last served, kept from window to window: while it is down its models are offered
 * all the same, because only a model that is offered can say in the chat why it does not answer. */

import type * as vscode from "vscode";
import type { ServedModel } from "./discovery/discover";
import { array, object, string } from "../api/narrow";

const KEY = "lastServed";

export class Memory {
  constructor(private readonly state: Pick<vscode.Memento, "get" | "update">) {}

  /** What the server at `base` served, if it is the one that last answered. */
  lastServed(base: string): ServedModel[] {
    const last = object(this.state.get<unknown>(KEY));
    if (last["base"] !== base) return [];
    return array(last["models"]).filter((model) => string(object(model)["id"])) as ServedModel[];
  }

  async served(base: string, models: readonly ServedModel[]): Promise<void> {
    const value = JSON.stringify({ base, models });
    if (value === JSON.stringify(this.state.get<unknown>(KEY))) return;
    await this.state.update(KEY, JSON.parse(value));
  }
}
