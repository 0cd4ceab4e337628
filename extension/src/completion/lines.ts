/** Lines and their indentation, at the cursor. */

/** What stands before the cursor on its line. */
export function lineBefore(prefix: string): string {
  return prefix.slice(prefix.lastIndexOf("\n") + 1);
}

/** What stands after the cursor on its line. */
export function lineAfter(suffix: string): string {
  const end = suffix.indexOf("\n");
  return (end < 0 ? suffix : suffix.slice(0, end)).replace(/\r$/, "");
}

/** The last line above the cursor's that is not blank; "" without one. */
export function lineAbove(prefix: string): string {
  let end = prefix.lastIndexOf("\n");
  while (end > 0) {
    const start = prefix.lastIndexOf("\n", end - 1);
    const line = prefix.slice(start + 1, end);
    if (line.trim()) return line.trimEnd();
    end = start;
  }
  return "";
}

/** The first lines below the cursor's that are not blank, at most `count`. */
export function linesBelow(suffix: string, count: number): string[] {
  const found: string[] = [];
  let end = suffix.indexOf("\n");
  while (end >= 0 && found.length < count) {
    const next = suffix.indexOf("\n", end + 1);
    const line = suffix.slice(end + 1, next < 0 ? undefined : next).trimEnd();
    if (line) found.push(line);
    end = next;
  }
  return found;
}

/** The white space that a line begins with. */
export function indentOf(line: string): string {
  return /^[ \t]*/.exec(line)?.[0] ?? "";
}

/** The column that a line's text begins at: a tab goes on to the next multiple of `tabSize`. */
export function indentColumns(line: string, tabSize: number): number {
  let columns = 0;
  for (const char of indentOf(line)) columns += char === "\t" ? tabSize - (columns % tabSize) : 1;
  return columns;
}
