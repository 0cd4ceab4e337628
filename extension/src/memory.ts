/** Which models there were, kept from window to window: VS Code goes on holding the id of a chosen
 * model when the model is gone, and only a model that is still offered can say why it is silent. */

import type * as vscode from "vscode";
import type { ServedModel } from "./discovery";
import { array, object, string } from "./json";

const KEY = "models";
/** Ids of models that are gone are kept up to this many: each costs the editor a hidden entry. */
const GONE = 32;

export class Memory {
  constructor(private readonly state: Pick<vscode.Memento, "get" | "update">) {}

  /** Every id that was offered or used, the newest first. */
  ids(): string[] {
    return array(this.read()["ids"]).flatMap((id) => string(id) ?? []);
  }

  /** What the server at `base` served when it last answered, if it was the last one asked. */
  lastServed(base: string): ServedModel[] {
    const last = object(this.read()["last"]);
    if (last["base"] !== base) return [];
    return array(last["models"]).filter((model) => string(object(model)["id"])) as ServedModel[];
  }

  /** The endpoint at `base` has told what it serves, under these ids. */
  async served(base: string, models: readonly ServedModel[], ids: readonly string[]): Promise<void> {
    await this.write({ last: { base, models }, ids: this.with(ids) });
  }

  /** A question was put to the model with this id. */
  async used(id: string): Promise<void> {
    await this.write({ ...this.read(), ids: this.with([id]) });
  }

  private with(newest: readonly string[]): string[] {
    const others = this.ids().filter((id) => !newest.includes(id));
    return [...newest, ...others.slice(0, GONE)];
  }

  private read() {
    return object(this.state.get<unknown>(KEY));
  }

  private async write(value: object): Promise<void> {
    if (JSON.stringify(value) !== JSON.stringify(this.read())) await this.state.update(KEY, value);
  }
}
