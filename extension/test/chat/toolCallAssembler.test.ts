/** Tool calls from the deltas that servers send. */
import { expect, test } from "vitest";
import { ToolCallAssembler, type ToolCall } from "../../src/chat/toolCallAssembler";
import { pieces, random } from "../support/random";

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

test("no index: a different id is a different call", () => {
  expect(assemble({ id: "a", ...fn("read", "{}") }, { id: "b", ...fn("read", "{}") })).toHaveLength(
    2,
  );
});

test("index 0 for every call: a different id is a different call", () => {
  const calls = assemble(
    { index: 0, id: "a", ...fn("read", '{"x":1}') },
    { index: 0, id: "b", ...fn("list", '{"y":2}') },
  );
  expect(calls.map(({ name }) => name)).toEqual(["read", "list"]);
});

test("one id for every call: a different index is a different call, with an id of its own", () => {
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

test("1,000 random interleavings reassemble the calls", () => {
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

test("invalid deltas are ignored", () => {
  const calls = new ToolCallAssembler();
  for (const nonsense of [null, 1, "x", {}, [null], [1], [[]], [{ function: 5 }], [{ id: 3 }]]) {
    calls.add(nonsense);
  }
  expect(calls.finish()).toEqual([]);
});
