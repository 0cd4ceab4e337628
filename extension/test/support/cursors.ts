/** Cursors for tests, written as text with a bar where the cursor is. */

import type { Cursor } from "../../src/completion/cursor";

export function cursorIn(text: string, languageId = "python"): Cursor {
  const at = text.indexOf("|");
  const prefix = text.slice(0, at);
  const lines = prefix.split("\n");
  return {
    uri: "file:///here",
    languageId,
    line: lines.length - 1,
    character: lines.at(-1)?.length ?? 0,
    prefix,
    suffix: text.slice(at + 1),
    tabSize: 4,
  };
}
