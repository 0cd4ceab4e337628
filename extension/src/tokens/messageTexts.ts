/** The parts of a message that cost tokens. */

import type { OpenAIMessage } from "../api/openaiTypes";

/** The strings that a message puts into the prompt. */
export function textsOf({ content, tool_calls }: OpenAIMessage): string[] {
  const texts =
    typeof content === "string"
      ? [content]
      : content.flatMap((part) => (part.type === "text" ? [part.text] : []));
  // Counted separately, as a template writes them: the arguments are JSON text already.
  const calls = (tool_calls ?? []).flatMap(({ function: fn }) => [fn.name, fn.arguments]);
  return [...texts, ...calls];
}

export function imagesIn({ content }: OpenAIMessage): number {
  if (typeof content === "string") return 0;
  return content.filter((part) => part.type === "image_url").length;
}
