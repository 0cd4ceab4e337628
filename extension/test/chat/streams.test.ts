/** The parsers of a stream: any split of the bytes gives the same answer. */
import { describe, expect, test } from "vitest";
import { SseParser } from "../../src/api/eventStream";
import { ToolCallAssembler, type ToolCall } from "../../src/chat/toolCallAssembler";

/** mulberry32: the same numbers on every machine for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pieces(text: string, next: () => number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    const size = 1 + Math.floor(next() * 7);
    parts.push(text.slice(at, at + size));
    at += size;
  }
  return parts;
}

describe("server-sent events", () => {
  const parse = (parts: string[]) => {
    const parser = new SseParser();
    return [...parts.flatMap((part) => parser.push(part)), ...parser.flush()];
  };

  test.each([
    ["data: a\n\ndata: b\n\n", ["a", "b"]],
    ["data:a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]],
    ["data: a\rdata: b\r\r", ["a\nb"]],
    [": comment\nevent: x\nid: 1\ndata: a\n\n", ["a"]],
    ["data: unfinished", ["unfinished"]],
    ["\n\n\n", []],
    ["data:  two spaces\n\n", [" two spaces"]],
  ])("%j", (stream, events) => {
    expect(parse([stream])).toEqual(events);
  });

  test("2,000 random splits with every kind of line end change nothing", () => {
    const next = random(20261123);
    for (let round = 0; round < 2000; round += 1) {
      const events = Array.from({ length: 1 + Math.floor(next() * 5) }, (_, at) =>
        JSON.stringify({ at, text: "é🚂:\\n".repeat(Math.floor(next() * 3)) }),
      );
      const end = ["\n", "\r\n", "\r"][Math.floor(next() * 3)] ?? "\n";
      const stream = events.map((event) => `data: ${event}${end}${end}`).join("");
      expect(parse(pieces(stream, next))).toEqual(events);
    }
  });
});

describe("tool calls", () => {
  const assemble = (...deltas: object[]): ToolCall[] => {
    const calls = new ToolCallAssembler();
    for (const delta of deltas) calls.add([delta]);
    let id = 0;
    return calls.finish(() => `new${(id += 1)}`);
  };
  const fn = (name?: string, args?: unknown) => ({ function: { name, arguments: args } });

  test("by index, arguments in pieces", () => {
    expect(
      assemble(
        { index: 0, id: "a", ...fn("read", "") },
        { index: 1, id: "b", ...fn("list", '{"p":') },
        { index: 0, ...fn(undefined, '{"x":1}') },
        { index: 1, ...fn(undefined, '"/"}') },
      ),
    ).toEqual([
      { id: "a", name: "read", arguments: '{"x":1}' },
      { id: "b", name: "list", arguments: '{"p":"/"}' },
    ]);
  });

  test("no index and no id: a name after whole arguments is the next call", () => {
    expect(
      assemble(fn("read", '{"x":'), fn(undefined, "1}"), fn("read", '{"x":2}'), fn("list", "{}")),
    ).toEqual([
      { id: "new1", name: "read", arguments: '{"x":1}' },
      { id: "new2", name: "read", arguments: '{"x":2}' },
      { id: "new3", name: "list", arguments: "{}" },
    ]);
  });

  test("no index: another id is another call", () => {
    expect(assemble({ id: "a", ...fn("read", "{}") }, { id: "b", ...fn("read", "{}") })).toHaveLength(
      2,
    );
  });

  test("index 0 for every call: another id is another call", () => {
    const calls = assemble(
      { index: 0, id: "a", ...fn("read", '{"x":1}') },
      { index: 0, id: "b", ...fn("list", '{"y":2}') },
    );
    expect(calls.map(({ name }) => name)).toEqual(["read", "list"]);
  });

  test("one id for every call: another index is another call, with an id of its own", () => {
    expect(
      assemble(
        { index: 0, id: "a", ...fn("read", '{"x":1}') },
        { index: 1, id: "a", ...fn("read", '{"y":') },
        { index: 1, id: "a", ...fn(undefined, "2}") },
      ),
    ).toEqual([
      { id: "a", name: "read", arguments: '{"x":1}' },
      { id: "new1", name: "read", arguments: '{"y":2}' },
    ]);
  });

  test("no index, no id and no arguments: each name is a call", () => {
    expect(assemble(fn("list"), fn("list", ""), fn("time"))).toEqual([
      { id: "new1", name: "list", arguments: "{}" },
      { id: "new2", name: "list", arguments: "{}" },
      { id: "new3", name: "time", arguments: "{}" },
    ]);
  });

  test("the name repeated in each delta is one call", () => {
    expect(assemble(fn("read", ""), fn("read", '{"x"'), fn("read", ":1}"))).toEqual([
      { id: "new1", name: "read", arguments: '{"x":1}' },
    ]);
  });

  test("arguments as an object, as null, and not at all", () => {
    expect(
      assemble({ index: 0, ...fn("a", { x: 1 }) }, { index: 1, ...fn("b", null) }, { index: 2, ...fn("c") }),
    ).toEqual([
      { id: "new1", name: "a", arguments: '{"x":1}' },
      { id: "new2", name: "b", arguments: "{}" },
      { id: "new3", name: "c", arguments: "{}" },
    ]);
  });

  test("1,000 random interleavings give back the calls that were cut up", () => {
    const next = random(4);
    for (let round = 0; round < 1000; round += 1) {
      const wanted = Array.from({ length: 1 + Math.floor(next() * 4) }, (_, at) => ({
        id: `id${at}`,
        name: `tool${Math.floor(next() * 2)}`,
        arguments: JSON.stringify({ at, text: "ü\"{}".repeat(Math.floor(next() * 4)) }),
      }));
      const queues = wanted.map(({ id, name, arguments: args }, index) => [
        { index, id, ...fn(name, "") },
        ...pieces(args, next).map((piece) => ({ index, ...fn(undefined, piece) })),
      ]);
      const deltas: object[] = [];
      // Calls begin in order; after that their pieces come in any order.
      let begun = 0;
      while (queues.some((queue) => queue.length)) {
        const at = Math.floor(next() * Math.min(begun + 1, queues.length));
        const delta = queues[at]?.shift();
        if (delta) deltas.push(delta);
        begun = Math.max(begun, at + 1);
      }
      expect(assemble(...deltas)).toEqual(wanted);
    }
  });

  test("nonsense from a server is no call and no crash", () => {
    const calls = new ToolCallAssembler();
    for (const nonsense of [null, 1, "x", {}, [null], [1], [[]], [{ function: 5 }], [{ id: 3 }]]) {
      calls.add(nonsense);
    }
    expect(calls.finish()).toEqual([]);
  });
});
