/** The models that the endpoint last served, kept from window to window. While it is down they are
 * still offered: only a model that is offered can explain in the chat why it does not answer. */

import type * as vscode from "vscode";
import { array, object, string } from "../api/narrow";
import type { ServedModel } from "./discovery/servedModel";

const KEY = "lastServed";

export class LastServedModels {
  constructor(private readonly state: Pick<vscode.Memento, "get" | "update">) {}

  /** The models of the server at `base`, if it was the last to answer. */
  of(base: string): ServedModel[] {
    const last = object(this.state.get<unknown>(KEY));
    if (last["base"] !== base) return [];
    return array(last["models"]).filter((model) => string(object(model)["id"])) as ServedModel[];
  }

  async save(base: string, models: readonly ServedModel[]): Promise<void> {
    const value = JSON.stringify({ base, models });
    if (value === JSON.stringify(this.state.get<unknown>(KEY))) return;
    await this.state.update(KEY, JSON.parse(value));
  }
}
