/** One model as the chat offers it. */

import type { Server } from "../api/apiClient";
import type { TokenCounter } from "../tokens/tokenCounter";
import type { ServedModel } from "./discovery/servedModel";

/** A server whose models are offered. */
export interface Source {
  /** Goes before the model's name in the ids that VS Code keeps; empty for the endpoint. */
  readonly prefix: string;
  /** Its name in messages. */
  readonly label: string;
  readonly server: Server;
}

export interface ModelEntry {
  /** The id that VS Code keeps. */
  readonly id: string;
  readonly model: ServedModel;
  readonly source: Source;
  readonly counter: TokenCounter;
  /** Tokens of prompt and answer together: reported, learned or assumed. */
  readonly context: number;
  /** Whether this is `local`: whichever model the endpoint serves first. Its id stays chosen when
   * the endpoint begins to serve another model. */
  readonly isAlias: boolean;
}

/** Takes the place of the model of an endpoint that has served none yet. */
export const NO_MODEL: ServedModel = {
  id: "",
  maxModelLen: undefined,
  engine: "",
  quantization: undefined,
  tools: undefined,
  vision: false,
  reasoning: false,
  fits: false,
};

/** Whether the entry has a model: `local` is also offered while the endpoint serves none. */
export function hasModel({ model }: ModelEntry): boolean {
  return model !== NO_MODEL;
}

/** The context of a model whose server does not report it and has refused no prompt yet. Ollama never
 * refuses, it truncates: 4,096 is what it loads a model with on a GPU of less than 24 GiB
 * (https://docs.ollama.com/context-length). */
export function assumedContext(model: ServedModel): number {
  return model.engine === "Ollama" ? 4096 : 8192;
}
