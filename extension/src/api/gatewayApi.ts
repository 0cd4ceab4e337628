/** The properties of contract/gateway-api.json that the extension reads.
 *
 * Reading any other property of a `GatewayFields` value does not compile, and a test fails where
 * one listed here is not in the contract. */

export const GATEWAY_FIELDS = {
  ModelFields: ["id", "root", "owned_by", "max_model_len", "quantization", "capabilities"],
  Capabilities: ["chat", "tools", "vision", "reasoning", "infill", "fits"],
  Info: ["backends"],
  Backend: ["engine", "models"],
  Count: ["count"],
  Counts: ["counts"],
} as const;

/** An object of the gateway as it arrives: each property may be missing or of another type. */
export type GatewayFields<Name extends keyof typeof GATEWAY_FIELDS> = {
  readonly [Field in (typeof GATEWAY_FIELDS)[Name][number]]?: unknown;
};
