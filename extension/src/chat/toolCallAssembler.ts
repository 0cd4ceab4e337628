/** Assembles tool calls from the deltas of a stream. */

import { array, isObject, object, string, type Json } from "../api/narrow";

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text, as the model wrote it. */
  readonly arguments: string;
}

interface Slot {
  index: number | undefined;
  id: string | undefined;
  name: string;
  arguments: string;
}

/** The server's index or id assigns a delta to its call. Servers that omit both send the calls one
 * after the other: a delta with a name then starts the next call as soon as the arguments of the
 * last one are complete. */
export class ToolCallAssembler {
  private readonly slots: Slot[] = [];

  add(deltas: unknown): void {
    for (const item of array(deltas)) {
      const delta = object(item);
      const fn = object(delta["function"]);
      const name = string(fn["name"]);
      const args = argumentsText(fn["arguments"]);
      const slot = this.slotFor(delta, name, args);
      slot.id ??= string(delta["id"]);
      slot.name ||= name ?? "";
      slot.arguments += args;
    }
  }

  /** The calls in the order in which they began. A call without an id of its own gets one, because
   * hosts match results to calls by id. */
  finish(newId: () => string = () => `call_${crypto.randomUUID()}`): ToolCall[] {
    const calls = this.slots.filter((slot) => slot.name);
    const ids = calls.map(({ id }) => id);
    return calls.map((slot, at) => ({
      id: slot.id && ids.indexOf(slot.id) === at ? slot.id : newId(),
      name: slot.name,
      arguments: slot.arguments.trim() || "{}",
    }));
  }

  private slotFor(delta: Json, name: string | undefined, args: string): Slot {
    const index = typeof delta["index"] === "number" ? delta["index"] : undefined;
    const id = string(delta["id"]);
    const found = this.find(index, id, name, args);
    if (found) return found;
    const slot: Slot = { index, id, name: "", arguments: "" };
    this.slots.push(slot);
    return slot;
  }

  private find(
    index: number | undefined,
    id: string | undefined,
    name: string | undefined,
    args: string,
  ): Slot | undefined {
    const byId = id && this.slots.findLast((slot) => slot.id === id && sameIndex(slot, index));
    if (byId) return byId;
    if (index !== undefined) {
      const slot = this.slots.findLast((slot) => slot.index === index);
      // Some servers give every call index 0: a different id is a different call.
      return slot && id && slot.id ? undefined : slot;
    }
    const last = this.slots.at(-1);
    if (!last) return undefined;
    if (id && last.id) return undefined;
    return name && last.name && startsAnother(name, args, last) ? undefined : last;
  }
}

/** The arguments as an object, or undefined where the model wrote something else. */
export function parseArguments(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function argumentsText(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

/** Whether a call is complete although the answer was cut off: vLLM sends a call that was cut with `{}`
 * or no arguments, llama.cpp with invalid JSON. A tool without parameters looks the same when it is
 * cut, so it counts as incomplete too.
 * @param required the keys that the tool's schema requires */
export function isComplete(input: Json | undefined, required: readonly string[]): input is Json {
  if (!input || Object.keys(input).length === 0) return false;
  return required.every((key) => key in input);
}

/** Some servers give all calls the same id: a different index is a different call. */
function sameIndex(slot: Slot, index: number | undefined): boolean {
  return index === undefined || slot.index === undefined || slot.index === index;
}

/** Some servers repeat the name in each delta of a call. A delta that only repeats the name of a call
 * without arguments would add nothing to it, so it starts another call without arguments. */
function startsAnother(name: string, args: string, last: Slot): boolean {
  if (name !== last.name || parseArguments(last.arguments) !== undefined) return true;
  return args === "" && last.arguments === "";
}
