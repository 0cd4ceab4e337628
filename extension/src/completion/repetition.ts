/** Where a model has begun to repeat itself. */

/** The longest group of lines that is looked for again. */
const GROUP_LINES = 6;
/** One line or two that come so often in a row are a loop; data may have them twice. */
const SHORT_TIMES = 3;
/** One line, over and over: four times or more, of at least three characters with a letter in it. */
const LOOP_IN_LINE = /(.{3,60}?)\1{3,}/u;

/** `text` up to the end of what then comes again and again. */
export function cutRepetition(text: string): string {
  const lines = text.split("\n");
  // The first line lacks the indentation that stands before the cursor, so none is compared.
  const trimmed = lines.map((line) => line.trim());
  for (let at = 0; at < lines.length; at += 1) {
    const inLine = cutLoop(lines[at] ?? "");
    if (inLine !== undefined) return [...lines.slice(0, at), inLine].join("\n").trimEnd();
    const size = loopAt(trimmed, at);
    if (size) return lines.slice(0, at + size).join("\n").trimEnd();
  }
  return text;
}

function cutLoop(line: string): string | undefined {
  if (line.length < 12) return undefined;
  const match = LOOP_IN_LINE.exec(line.slice(0, 400));
  return match && /\p{L}/u.test(match[1] ?? "") ? line.slice(0, match.index + (match[1]?.length ?? 0)) : undefined;
}

/** The lines of the group at `at` that follows itself; 0 where none does. Two times are enough for a
 * group of several lines, of which one has content. */
function loopAt(lines: string[], at: number): number {
  for (let size = 1; size <= GROUP_LINES; size += 1) {
    const group = lines.slice(at, at + size).join("\n");
    if (!/[\p{L}\p{N}]{2}/u.test(group)) continue;
    const times = size <= 2 ? SHORT_TIMES : 2;
    if (repeatsAt(lines, at, size, group, times)) return size;
  }
  return 0;
}

function repeatsAt(lines: string[], at: number, size: number, group: string, times: number): boolean {
  for (let time = 1; time < times; time += 1) {
    const from = at + time * size;
    if (from + size > lines.length || lines.slice(from, from + size).join("\n") !== group) return false;
  }
  return true;
}
