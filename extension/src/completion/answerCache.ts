/** Answers by the text that they continue: used again as the person types on, or goes back. Pure. */

import type { Cursor } from "./cursor";
import { typedSince } from "./typedSince";

export interface Answer {
  readonly cursor: Cursor;
  /** As the model wrote it. */
  readonly text: string;
  readonly multiline: boolean;
  /** Whether the model came to an end by itself, and was not cut off. */
  readonly finished: boolean;
}

/** What is left of an answer after what was typed since. */
export interface Rest extends Answer {
  readonly rest: string;
}

const MOST_ANSWERS = 60;

export class AnswerCache {
  /** The latest first. */
  private answers: Answer[] = [];

  add(answer: Answer): void {
    this.answers = [answer, ...this.answers].slice(0, MOST_ANSWERS);
  }

  /** The latest answer that still fits at `cursor`. */
  find(cursor: Cursor): Rest | undefined {
    for (const answer of this.answers) {
      const found = restOf(answer, cursor);
      if (found) return found;
    }
    return undefined;
  }

  clear(): void {
    this.answers = [];
  }
}

/** What is left of `answer` at `now`. One that was typed to its end has nothing left, and another is
 * wanted; one that was empty from the beginning stays the answer. */
export function restOf(answer: Answer, now: Cursor): Rest | undefined {
  const typed = typedSince(answer.cursor, now);
  if (typed === undefined || !answer.text.startsWith(typed)) return undefined;
  const rest = answer.text.slice(typed.length);
  return typed !== "" && rest.trim() === "" ? undefined : { ...answer, rest };
}
