/** Recognises that a server refused a request because it exceeds the model's context. */

import type { HttpError } from "../api/apiClient";
import { object, positive, type Json } from "../api/narrow";

export interface OverflowFacts {
  /** Tokens of prompt and answer together that the server accepts. */
  readonly limit?: number;
  readonly promptTokens?: number;
}

/** How servers word it. The name of a parameter alone is no sign: servers also name `max_tokens` where
 * they do not know it. */
const OVERFLOW_WORDINGS = [
  /(maximum|max) (context|model|total).{0,10}length/i,
  // vLLM, SGLang, LM Studio: "the model's context length is only 8192 tokens".
  /context length (is |of )?(only )?\(?\d/i,
  /context (size|window|length) .*exceed|exceeds? the (available |maximum )?context/i,
  /exceeds? the maximum allowed length/i,
  /must be <= \d|must have less than \d+ tokens/i,
  // Older vLLM, where the prompt alone leaves no room.
  /max_tokens must be at least 1, got -/i,
];

/** @param message the error message in the body */
export function isContextOverflow({ status, body }: HttpError, message: string): boolean {
  if (status === 413) return true;
  if (status !== 400 && status !== 422 && status < 500) return false;
  return (
    body.includes("exceed_context_size") ||
    body.includes("context_length_exceeded") ||
    OVERFLOW_WORDINGS.some((wording) => wording.test(message))
  );
}

/** llama.cpp reports numbers; vLLM and TGI write the limit into a sentence. The prompt's size is never
 * taken from a sentence: vLLM's reads "at least". */
export function overflowFacts(body: string): OverflowFacts {
  const error = errorOf(body);
  const sentence =
    /(?:context length|context window|max_model_len|allowed length|must be <=|have less than)[^\d]{0,40}(\d{3,})/i.exec(
      body,
    );
  const limit = positive(error["n_ctx"]) ?? positive(Number(sentence?.[1]));
  const promptTokens = positive(error["n_prompt_tokens"]);
  return { ...(limit && { limit }), ...(promptTokens && { promptTokens }) };
}

function errorOf(body: string): Json {
  try {
    return object(object(JSON.parse(body))["error"]);
  } catch {
    return {};
  }
}
