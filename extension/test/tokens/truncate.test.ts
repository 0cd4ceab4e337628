/** What is left out of a request that is too long. */
import { expect, test } from "vitest";
import { truncate } from "../../src/tokens/truncate";

test("unused tools go first, from the end, then the oldest turns", async () => {
  const tool = (name: string) => ({
    type: "function" as const,
    function: { name, description: "x".repeat(100), parameters: {} },
  });
  const call = { id: "1", type: "function" as const, function: { name: "c", arguments: "{}" } };
  const request = {
    model: "m",
    messages: [
      { role: "system" as const, content: "s" },
      { role: "user" as const, content: "old".repeat(50) },
      { role: "assistant" as const, content: "", tool_calls: [call] },
      { role: "tool" as const, tool_call_id: "1", content: "r" },
      { role: "user" as const, content: "now" },
    ],
    tools: [tool("a"), tool("b"), tool("c")],
  };
  const count = async (part: string) => part.length;
  const parts = [...request.tools, ...request.messages.map((message) => message.content)];
  const exact = parts.map((part) => JSON.stringify(part).length).reduce((sum, each) => sum + each);
  const names = async (tokens: number, counted = exact) => {
    const truncated = await truncate(request, counted, counted - tokens, count);
    return truncated && [
      (truncated.request.tools ?? []).map((each) => each.function.name).join(""),
      truncated.request.messages.map((message) => message.role).join(" "),
    ];
  };
  const all = "system user assistant tool user";
  expect(await names(10)).toEqual(["ac", all]);
  expect(await names(300)).toEqual(["c", all]);
  expect(await names(400)).toEqual(["c", "system user"]);
  expect(await names(4000)).toBeUndefined();
  // Where the server counts more than the parts have, its template writes tools at greater length.
  expect(await names(300, exact * 3)).toEqual(["ac", all]);
});
