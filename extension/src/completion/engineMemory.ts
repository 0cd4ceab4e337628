/** What the engine has read and still holds, as far as the requests that it got show: the last prompt.
 * Of the next it reads what follows the first difference. Pure. */

import type { Asked } from "./anchor";
import type { Extra } from "./cursor";

export class EngineMemory {
  /** What it holds for certain. */
  private held = "";
  private begun = "";

  /** Characters of a prompt that the engine would read, at most. */
  unread(asked: Asked, extras: readonly Extra[]): number {
    const text = written(asked, extras);
    return text.length - sameStart(text, this.held);
  }

  /** A request begins. Of one that is aborted early, it may have read anything.
   * @returns how many characters it reads at most */
  begins(asked: Asked, extras: readonly Extra[]): number {
    this.begun = written(asked, extras);
    const same = sameStart(this.begun, this.held);
    this.held = this.begun.slice(0, same);
    return this.begun.length - same;
  }

  /** The last request's prompt has been read. */
  hasRead(): void {
    this.held = this.begun;
  }
}

function written({ prompt, suffix, input_middle = "" }: Asked, extras: readonly Extra[]): string {
  const others = extras.map(({ filename, text }) => `${filename}\n${text}`);
  return [...others, prompt, suffix, input_middle].join("\0");
}

function sameStart(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let at = 0;
  while (at < most && a.charCodeAt(at) === b.charCodeAt(at)) at += 1;
  return at;
}
