/** Types into a file for benchmarks/completion_speed.py, and prints what was measured as JSON.
 *
 * VS Code's own part: after each key, and after Tab, it reports the change, and 50 ms later asks the
 * provider, whose answer to an earlier key it cancels then. It asks at once when the extension makes it.
 *
 * A suggestion counts as shown where it is new: it does not go on with the one on screen, or with the one
 * before blanks were typed, which the extension leaves out of what it shows. One that is what the person
 * is about to type is accepted, as people do.
 */

import { text } from "node:stream/consumers";
import type { CompletionBody } from "../src/completion/completionCall";
import * as host from "./editorHost";
import { EditorSession, settled, type Event } from "./editorSession";

interface Task {
  readonly language: string;
  readonly path: string;
  readonly before: string;
  readonly after: string;
  readonly history: readonly Event[];
  /** What is typed, up to a pause each. */
  readonly bursts: readonly string[];
}

interface Job {
  readonly base: string;
  readonly model: string;
  readonly keysPerSecond: number;
  readonly tasks: readonly Task[];
}

/** VS Code's own wait before it asks a provider. */
const ASKED_AFTER_MS = 50;
const PAUSE_MS = 2500;
/** The longest wait of the extension before it does anything while the editor is idle. */
const IDLE_MS = 2000;
const LONGEST_WARMING_MS = 120_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const counts = { requests: 0, warmUps: 0, shown: 0, accepted: 0 };
/** Of each key: how long until all was done, and what that took of the processor. The engine computes on
 * the same cores, so the first measures the system's scheduler too. */
const keyMs: number[] = [];
const keyCpuMs: number[] = [];
/** When a request began, when its first bytes came and its last; behind what it was begun, and whether
 * something new was shown before the next. */
interface Sent {
  readonly beganAt: number;
  readonly behind: string;
  wasShown: boolean;
  firstAt?: number;
  endedAt?: number;
}
const sent: Sent[] = [];
/** From the last key to the suggestion, and to the parts of the last request. */
interface Pause {
  readonly waitedMs: number;
  readonly beganMs: number;
  readonly firstMs: number;
  readonly endedMs: number;
}
const pauses: (Pause & { readonly isFirst: boolean })[] = [];
/** What was typed last before each pause without a suggestion. */
const unanswered: string[] = [];
let [running, ringBytes] = [0, 0];

const realFetch = globalThis.fetch;
globalThis.fetch = async (url, init) => {
  const { max_tokens, prompt = "", input_middle = "" } = JSON.parse(String(init?.body ?? "{}")) as Partial<CompletionBody>;
  const times: Sent = { beganAt: performance.now(), behind: (prompt + input_middle).slice(-24), wasShown: false };
  if (max_tokens === 1) counts.warmUps += 1;
  else {
    counts.requests += 1;
    sent.push(times);
  }
  running += 1;
  try {
    const response = await realFetch(url, init);
    if (response.body) Object.defineProperty(response, "body", { value: timed(response.body, times) });
    return response;
  } catch (error) {
    running -= 1;
    throw error;
  }
};

/** Takes the times of an answer's bytes, and counts its request as over at its end, however it ends. Not
 * by a stream behind it, which would cost more at each key than what is measured. */
function timed(body: ReadableStream<Uint8Array>, times: Sent): Pick<ReadableStream<Uint8Array>, "getReader"> {
  const getReader = () => {
    const reader = body.getReader();
    const over = () => void (running -= 1);
    void reader.closed.then(over, over);
    const read = reader.read.bind(reader);
    reader.read = async () => {
      const next = await read();
      const now = performance.now();
      if (!next.done) [times.firstAt, times.endedAt] = [times.firstAt ?? now, now];
      return next;
    };
    return reader;
  };
  return { getReader } as Pick<ReadableStream<Uint8Array>, "getReader">;
}

/** What one key costs, in its parts: at the change, and at VS Code's question. */
class Handling {
  readonly startedAt = performance.now();
  private since = this.startedAt;
  private cpu = process.cpuUsage();
  private ms = 0;
  private cpuMs = 0;

  goOn(): void {
    this.since = performance.now();
    this.cpu = process.cpuUsage();
  }

  pause(): void {
    this.ms += performance.now() - this.since;
    const { user, system } = process.cpuUsage(this.cpu);
    this.cpuMs += (user + system) / 1000;
  }

  end(): void {
    keyMs.push(this.ms);
    keyCpuMs.push(this.cpuMs);
  }
}

class Typist {
  private onScreen = "";
  /** The last suggestion, and what was typed since it came. */
  private lastShown = "";
  private typedSince = "";
  private asked = new host.CancellationTokenSource();
  private lastKeyAt = 0;
  /** When the suggestion came for which the person waits. */
  private shownAt: number | undefined;

  constructor(private readonly session: EditorSession) {
    host.runnable.set("editor.action.inlineSuggest.trigger", () => void this.ask(this.asked.token, true));
  }

  /** One key, and VS Code's question after it, which the next key cancels. */
  async key(typed: string): Promise<void> {
    this.onScreen = this.onScreen.startsWith(typed) ? this.onScreen.slice(typed.length) : "";
    this.typedSince += typed;
    const { token } = this.askedAnew();
    const handling = new Handling();
    this.insert(typed);
    await settled();
    handling.pause();
    this.lastKeyAt = handling.startedAt;
    setTimeout(() => void this.askAfter(token, handling), ASKED_AFTER_MS);
  }

  /** Waits so long for a suggestion; returns what is on the screen then. */
  async pause(): Promise<string> {
    await sleep(PAUSE_MS);
    return this.onScreen;
  }

  /** From the last key to the suggestion; undefined where none came. */
  get waited(): Pause | undefined {
    if (this.shownAt === undefined) return undefined;
    const { beganAt, firstAt = NaN, endedAt = NaN } = sent.at(-1) ?? { beganAt: NaN };
    const since = (at: number) => at - this.lastKeyAt;
    return {
      waitedMs: since(this.shownAt),
      beganMs: since(beganAt),
      firstMs: since(firstAt),
      endedMs: since(endedAt),
    };
  }

  insert(text: string): void {
    const at = host.window.activeTextEditor?.selection.active ?? new host.Position(0, 0);
    host.change(new host.Range(at, at), text);
  }

  /** Takes what is on the screen, as Tab does. */
  async accept(item: string): Promise<void> {
    counts.accepted += 1;
    this.onScreen = "";
    const { token } = this.askedAnew();
    this.insert(item);
    const { document, selection } = host.window.activeTextEditor ?? {};
    const { line, character } = selection?.active ?? new host.Position(0, 0);
    await host.commands.executeCommand("stoker.completion.accepted", document?.uri.toString(), line, character);
    setTimeout(() => void this.ask(token), ASKED_AFTER_MS);
  }

  private askedAnew(): host.CancellationTokenSource {
    this.asked.cancel();
    this.asked = new host.CancellationTokenSource();
    this.shownAt = undefined;
    return this.asked;
  }

  /** The question after a key, as far as it keeps the editor busy. */
  private async askAfter(token: host.CancellationTokenSource["token"], handling: Handling): Promise<void> {
    if (token.isCancellationRequested) return handling.end();
    handling.goOn();
    const asked = this.ask(token);
    await settled();
    handling.pause();
    handling.end();
    await asked;
  }

  private async ask(token: host.CancellationTokenSource["token"], isExplicit = false): Promise<void> {
    if (token.isCancellationRequested) return;
    const item = await this.session.ask(token, isExplicit);
    if (token.isCancellationRequested || !item) return;
    const text = item.insertText;
    if (!this.goesOn(text)) {
      counts.shown += 1;
      const last = sent.at(-1);
      if (last) last.wasShown = true;
    }
    [this.onScreen, this.lastShown, this.typedSince] = [text, text, ""];
    this.shownAt ??= performance.now();
  }

  private goesOn(text: string): boolean {
    if (this.typedSince.trim() === "" && text === this.lastShown) return true;
    return this.onScreen !== "" && (this.onScreen.startsWith(text) || text.startsWith(this.onScreen));
  }
}

async function warmed(): Promise<void> {
  const until = performance.now() + LONGEST_WARMING_MS;
  await sleep(IDLE_MS);
  while (running > 0 && performance.now() < until) await sleep(50);
}

/** The memory of the ring, by its own count. */
function ringOf(session: EditorSession): number {
  const { others } = session.completion as unknown as { others: { ring: { bytes: number } } };
  return others.ring.bytes;
}

async function type(job: Job, task: Task): Promise<void> {
  const session = new EditorSession(job.base, job.model);
  for (const event of task.history) await session.note(event, task.language);
  await session.place(task.path, task.language, task.before, task.after);
  await warmed();
  const typist = new Typist(session);
  const between = 1000 / job.keysPerSecond;
  let ready = "";
  for (const [at, burst] of task.bursts.entries()) {
    if (burst.length <= ready.length) {
      ready = ready.slice(burst.length);
      continue;
    }
    for (const key of keysOf(burst.slice(ready.length))) {
      await typist.key(key);
      await sleep(Math.max(0, between - 1));
    }
    ready = "";
    const shown = await typist.pause();
    const { waited } = typist;
    if (waited === undefined) unanswered.push(burst.slice(-24));
    else pauses.push({ ...waited, isFirst: at === 0 });
    const next = task.bursts.slice(at + 1).join("");
    if (shown && next.startsWith(shown)) {
      await typist.accept(shown);
      await sleep(between);
      ready = shown;
    }
  }
  ringBytes = Math.max(ringBytes, ringOf(session));
  session.dispose();
}

/** One by one; a new line comes with its indentation, which the editor puts there. */
function keysOf(burst: string): string[] {
  return burst.match(/\n[ \t]*|[^\n]/gu) ?? [];
}

const job = JSON.parse(await text(process.stdin)) as Job;
for (const task of job.tasks) await type(job, task);
process.stdout.write(JSON.stringify({ ...counts, unanswered, pauses, sent, keyMs, keyCpuMs, ringBytes }));
process.exit(0);
