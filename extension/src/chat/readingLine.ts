/** What the chat shows while a prompt is read for long: a line every ten seconds, until the answer begins. */

import { env, l10n } from "vscode";
import { object, type Json } from "../api/narrow";

/** As long as a person waits without wondering what happens. */
const EVERY_MS = 10_000;

export class ReadingLine {
  private shownAtMs = performance.now();

  /** @param progress llama.cpp's `prompt_progress`: tokens of the prompt, in its cache, and read so far,
   * those in the cache with them
   * @returns the line, where it is time for one */
  next(progress: Json): string | undefined {
    const [total, cached, read] = ["total", "cache", "processed"].map((key) => Number(progress[key]));
    const tokens = (total ?? NaN) - (cached ?? NaN);
    const percent = Math.floor((100 * ((read ?? NaN) - (cached ?? NaN))) / tokens);
    const isSense = tokens > 0 && percent >= 0 && percent < 100;
    if (!isSense || performance.now() - this.shownAtMs < EVERY_MS) return undefined;
    this.shownAtMs = performance.now();
    return l10n.t("Reading {0} tokens, {1}%", tokens.toLocaleString(env.language), percent);
  }
}

/** How far the server has read the prompt, where an event is about that and not about the answer. */
export function progressOf(chunk: Json): Json | undefined {
  return chunk["prompt_progress"] ? object(chunk["prompt_progress"]) : undefined;
}
