/** One chat model of a server, as far as its server reports it. */

export interface ServedModel {
  /** The name that requests use. */
  readonly id: string;
  /** Tokens of prompt and answer together; undefined where the server does not report it. */
  readonly maxModelLen: number | undefined;
  readonly engine: string;
  readonly quantization: string | undefined;
  readonly tools: "native" | "emulated" | "none" | undefined;
  readonly vision: boolean;
  readonly reasoning: boolean;
  /** Whether Stoker's gateway cuts every prompt to `maxModelLen` itself. */
  readonly fits: boolean;
}

/** The id of whichever model an endpoint serves first. The gateway accepts and lists it too. */
export const LOCAL = "local";
