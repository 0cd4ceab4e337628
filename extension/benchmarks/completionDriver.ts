/** Answers benchmarks/completion.py: the extension's suggestion at each position, a line of JSON each.
 *
 * Between what is asked, time passes faster: what the extension does while the editor is idle (choose
 * what to say of other files, let the engine read it) is done by then.
 */

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { MeasuredSpeed } from "../src/completion/measuredSpeed";
import * as host from "./editorHost";
import { EditorSession, settled, type Event } from "./editorSession";
import { FASTER } from "./fasterTimers";

const [, , base = "", model = "", extraChars = "6000"] = process.argv;
// The window of a machine that reads a prompt in time: how fast answers come here means nothing.
Object.defineProperty(MeasuredSpeed.prototype, "window", {
  value: { prefixChars: 4000, suffixChars: 2000, extraChars: Number(extraChars) },
});
// Nor does it wait before it takes other chunks: in time that passes faster, that would be for long.
Object.defineProperty(MeasuredSpeed.prototype, "readingMs", { value: () => 0 });
/** Longer than the extension waits for anything while the editor is idle. */
const LONGEST_WAIT_MS = 4000;
/** Requests that run: idle work ends when none does. */
let running = 0;

// What is measured is what comes, however slow the machine is today.
const realLimit = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => realLimit(100 * ms);

const realFetch = globalThis.fetch;
globalThis.fetch = async (...args) => {
  running += 1;
  try {
    const response = await realFetch(...args);
    // The body is read to its end before the request counts as over.
    return new Response(response.body?.pipeThrough(counted()) ?? null, response);
  } catch (error) {
    running -= 1;
    throw error;
  }
};

function counted(): TransformStream<Uint8Array, Uint8Array> {
  let isOver = false;
  const over = () => {
    if (!isOver) running -= 1;
    isOver = true;
  };
  return new TransformStream({ flush: over, cancel: over } as Transformer<Uint8Array, Uint8Array>);
}

/** The longest wait of the extension, and what it began then. */
async function idle(): Promise<void> {
  await sleep(LONGEST_WAIT_MS / FASTER);
  while (running > 0) await sleep(10);
  await settled();
}

interface Question {
  readonly begin?: true;
  readonly event?: Event;
  readonly language: string;
  readonly path: string;
  readonly before: string;
  readonly after: string;
}

let session: EditorSession | undefined;

async function answer(question: Question): Promise<unknown> {
  if (question.begin) {
    session?.dispose();
    session = new EditorSession(base, model);
    return {};
  }
  if (!session) throw new Error("nothing has begun");
  if (question.event) {
    // What was done before went by too fast for anything to be read ahead.
    host.configured["warmUp"] = false;
    await session.note(question.event, question.language);
    await sleep(LONGEST_WAIT_MS / FASTER);
    return {};
  }
  const { path, language, before, after } = question;
  host.configured["warmUp"] = true;
  // A line of its own is typed from its start, where the person paused first.
  const isNewLine = after === "" || after.startsWith("\n");
  const start = isNewLine ? before.lastIndexOf("\n") + 1 : before.length;
  const indent = /^[ \t]*/.exec(before.slice(start))?.[0].length ?? 0;
  await session.place(path, language, before.slice(0, start + indent), after);
  await idle();
  const cursor = await session.place(path, language, before, after);
  const item = await session.ask(new host.CancellationTokenSource().token);
  const end = item?.range?.end ?? cursor;
  return { text: item?.insertText ?? "", replaced: Math.max(0, end.character - cursor.character) };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Question))}\n`);
}
process.exit(0);
