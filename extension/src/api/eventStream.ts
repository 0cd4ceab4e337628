/** Server-sent events, as far as chat completions use them: the `data` of each event. */

export class SseParser {
  private rest = "";
  private data: string[] = [];
  private afterCr = false;

  /** The data of the events that `text` completes. */
  push(text: string): string[] {
    const events: string[] = [];
    // A CR at the end of one chunk and an LF at the start of the next are one line ending.
    const input = this.afterCr && text.startsWith("\n") ? text.slice(1) : text;
    if (text) this.afterCr = text.endsWith("\r");
    const lines = (this.rest + input).split(/\r\n|\r|\n/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.line(line, events);
    return events;
  }

  /** The event that the stream left open: some servers end with no blank line. */
  flush(): string[] {
    const events: string[] = [];
    if (this.rest) this.line(this.rest, events);
    this.rest = "";
    this.line("", events);
    return events;
  }

  private line(line: string, events: string[]): void {
    if (line === "") {
      if (this.data.length) events.push(this.data.join("\n"));
      this.data = [];
    } else if (line.startsWith("data:")) {
      this.data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
}
