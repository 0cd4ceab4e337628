/** Server-sent events of a streamed chat completion: the `data` of each event, as it arrives. */

import { createParser } from "eventsource-parser";

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** How OpenAI-compatible servers mark the end of a stream. */
const DONE = "[DONE]";
/** How long a server may take to end a stream after `[DONE]`. */
const DRAIN_MS = 1000;

/** Splits text that arrives in any pieces into the data of whole events. */
export class EventDataParser {
  private data: string[] = [];
  private readonly parser = createParser({ onEvent: ({ data }) => this.data.push(data) });

  /** The data of the events that `text` completes. */
  push(text: string): string[] {
    this.parser.feed(text);
    const completed = this.data;
    this.data = [];
    return completed;
  }

  /** The event that the stream left open: some servers end without a blank line. */
  flush(): string[] {
    return this.push("\n\n");
  }
}

/** Calls `onData` with the data of each event until `[DONE]` or the end of the stream.
 * If `onData` throws, the connection is closed so that the server stops generating.
 * @returns whether `[DONE]` arrived */
export async function readEventData(
  body: ReadableStream<Uint8Array>,
  onData: (data: string) => void,
): Promise<boolean> {
  const reader = body.getReader();
  try {
    return await readUntilDone(reader, onData);
  } catch (error) {
    close(reader);
    throw error;
  }
}

async function readUntilDone(reader: Reader, onData: (data: string) => void): Promise<boolean> {
  const decoder = new TextDecoder();
  const parser = new EventDataParser();
  for (;;) {
    const { done, value } = await reader.read();
    const events = done ? parser.flush() : parser.push(decoder.decode(value, { stream: true }));
    for (const data of events) {
      if (data === DONE) {
        // Reading to the very end lets the connection serve the next request.
        void drain(reader);
        return true;
      }
      onData(data);
    }
    if (done) return false;
  }
}

async function drain(reader: Reader): Promise<void> {
  const timer = setTimeout(() => close(reader), DRAIN_MS);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The answer is complete: how the connection ends does not matter.
  } finally {
    clearTimeout(timer);
  }
}

function close(reader: Reader): void {
  // Rejects where the connection is already broken, which is as good.
  reader.cancel().catch(() => {});
}
