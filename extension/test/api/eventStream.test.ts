/** Server-sent events: any split of the text gives the same events. */
import { expect, test } from "vitest";
import { EventDataParser, readEventData } from "../../src/api/eventStream";
import { pieces, random } from "../support/random";

const parse = (parts: string[]) => {
  const parser = new EventDataParser();
  return [...parts.flatMap((part) => parser.push(part)), ...parser.flush()];
};

test.each([
  ["line ends LF", "data: a\n\ndata: b\n\n", ["a", "b"]],
  ["line ends CRLF", "data:a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]],
  ["line ends CR, and two lines of data", "data: a\rdata: b\r\r", ["a\nb"]],
  ["comments and other fields", ": comment\nevent: x\nid: 1\ndata: a\n\n", ["a"]],
  ["keep-alive comments", ": keep-alive\n\ndata: a\n\n: keep-alive\n\n", ["a"]],
  ["an event with the type error", 'event: error\ndata: {"error":{}}\n\n', ['{"error":{}}']],
  ["a byte order mark", "\uFEFFdata: a\n\n", ["a"]],
  ["an event cut off by the end of the stream", "data: unfinished", ["unfinished"]],
  ["an event cut off after its line", "data: a\r\n", ["a"]],
  ["an event cut off inside of CRLF", "data: a\r", ["a"]],
  ["only blank lines", "\n\n\n", []],
  ["a second space, which is data", "data:  two spaces\n\n", [" two spaces"]],
])("%s", (_, stream, events) => {
  expect(parse([stream])).toEqual(events);
  expect(parse([...stream])).toEqual(events);
});

test("an event is complete as soon as its blank line has arrived", () => {
  const parser = new EventDataParser();
  expect(parser.push("data: a\n")).toEqual([]);
  expect(parser.push("\nda")).toEqual(["a"]);
  expect(parser.push("ta: b\r\n\r")).toEqual(["b"]);
  expect(parser.push("\ndata: c\n\n")).toEqual(["c"]);
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

async function read(stream: string): Promise<[string[], boolean]> {
  // One byte at a time: a character of UTF-8 arrives in pieces, and so does a byte order mark.
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of new TextEncoder().encode(stream)) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
  const data: string[] = [];
  const isDone = await readEventData(body, (each) => data.push(each));
  return [data, isDone];
}

test("a stream of bytes is read to [DONE], or to its end", async () => {
  expect(await read("\uFEFFdata: é🚂\r\n\r\ndata: [DONE]\n\ndata: late\n\n")).toEqual([["é🚂"], true]);
  expect(await read("data: é\n\ndata: 🚂")).toEqual([["é", "🚂"], false]);
});
