/** The exact bytes that go to a server. */
import { expect, test } from "vitest";
import * as vscode from "vscode";
import { toRequest, toMessages } from "../../src/chat/openaiMessages";

const { User, Assistant } = vscode.LanguageModelChatMessageRole;
const SYSTEM = 3 as vscode.LanguageModelChatMessageRole;
const say = (role: vscode.LanguageModelChatMessageRole, ...content: unknown[]) => ({
  role,
  content,
  name: undefined,
});
const text = (value: string) => new vscode.LanguageModelTextPart(value);
const auto = { toolMode: vscode.LanguageModelChatToolMode.Auto };

test("a question is exactly these bytes", () => {
  const request = toRequest("m", [say(SYSTEM, text("Be brief.")), say(User, text("Hi"))], auto);
  expect(JSON.stringify(request)).toBe(
    '{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],' +
      '"stream":true,"stream_options":{"include_usage":true}}',
  );
});

test("VS Code's private options are never sent, and options cannot override fixed fields", () => {
  const modelOptions = {
    _capturingTokenCorrelationId: "x",
    _otelTraceContext: {},
    _telemetryTurn: 1,
    _conversationId: "y",
    temperature: 0.1,
    model: "other",
    stream: false,
    messages: [],
  };
  const request = toRequest("m", [say(User, text("Hi"))], { ...auto, modelOptions });
  expect(Object.keys(request)).toEqual(["model", "messages", "stream", "stream_options", "temperature"]);
  expect(request).toMatchObject({ model: "m", stream: true, temperature: 0.1 });
  expect(JSON.stringify(request)).not.toContain('"_');
});

test("tools, and that a call is required", () => {
  const tools = [
    { name: "f", description: "d", inputSchema: { type: "object", properties: { x: {} } } },
    { name: "g", description: "e" },
  ];
  const toolMode = vscode.LanguageModelChatToolMode.Required;
  const request = toRequest("m", [say(User, text("Hi"))], { tools, toolMode });
  expect(JSON.stringify(request.tools)).toBe(
    '[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"x":{}}}}},' +
      '{"type":"function","function":{"name":"g","description":"e","parameters":{"type":"object","properties":{}}}}]',
  );
  expect(request["tool_choice"]).toBe("required");
});

test("a tool call and its result become messages of their own", () => {
  const sent = toMessages([
    say(User, text("Look")),
    say(Assistant, text("Yes."), new vscode.LanguageModelToolCallPart("c1", "read", { f: "a" })),
    say(User, new vscode.LanguageModelToolResultPart("c1", [text("content")]), text("And?")),
  ]);
  expect(sent).toEqual([
    { role: "user", content: "Look" },
    {
      role: "assistant",
      content: "Yes.",
      tool_calls: [{ id: "c1", type: "function", function: { name: "read", arguments: '{"f":"a"}' } }],
    },
    { role: "tool", tool_call_id: "c1", content: "content" },
    { role: "user", content: "And?" },
  ]);
});

test("images go as data URLs, and an image in a tool's result follows it", () => {
  const png = new vscode.LanguageModelDataPart(new Uint8Array([1, 2, 3]), "image/png");
  const image = { type: "image_url", image_url: { url: "data:image/png;base64,AQID" } };
  expect(toMessages([say(User, text("What?"), png)])).toEqual([
    { role: "user", content: [{ type: "text", text: "What?" }, image] },
  ]);
  expect(toMessages([say(User, new vscode.LanguageModelToolResultPart("c", [text("see"), png]))])).toEqual([
    { role: "tool", tool_call_id: "c", content: "see" },
    { role: "user", content: [image] },
  ]);
});

test("two messages of one role in a row are merged, and VS Code's own data is left out", () => {
  const mark = new vscode.LanguageModelDataPart(new Uint8Array([1]), "cache_control");
  const sent = toMessages([say(User, text("a"), mark), say(User, text("b")), say(User, mark)]);
  expect(sent).toEqual([{ role: "user", content: "a\n\nb" }]);
});
