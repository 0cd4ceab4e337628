/** In a language in which every text is blank, the user sees data and no English word. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import * as vscode from "vscode";
import { ModelRegistry } from "../../src/servers/modelRegistry";
import { registerCommands } from "../../src/ui/commands";
import { LastServedModels } from "../../src/servers/lastServedModels";
import { Provider } from "../../src/chat/provider";
import { Settings } from "../../src/servers/settings";
import { SignedOutSettings } from "../../src/ui/signedOutSettings";
import { StatusBar } from "../../src/ui/statusBar";
import { calls, FakeServer, fails, finish, lists, streams, text, thinks, type Handler } from "../support/fakeServer";
import * as host from "../support/fakeVscode";

/** Names that are the same in every language, such as those of errors: ECONNREFUSED. */
const NAMES = /Stoker|vLLM|Q4_0|https?:|\bftp\b|\bE[A-Z]{4,}|\b[A-Z]+_[A-Z_]+|chat\.[\w.]+(: \w+)?/g;
/** What the servers in these tests are called and answer; no English word begins like this. */
const DATA = /xx\S*/g;

const log = host.fakeLog() as unknown as vscode.LogOutputChannel;
let settings: Settings;
let registry: ModelRegistry;
let provider: Provider;
let status: StatusBar;
let signedOut: SignedOutSettings;
let commands: vscode.Disposable;
let fake: FakeServer | undefined;

beforeEach(() => {
  host.openWindow();
  vi.spyOn(host.l10n, "t").mockImplementation((template, ...values) =>
    [...template.matchAll(/\{(\d+)\}/g)].map(([, at]) => String(values[Number(at)])).join(" "),
  );
  settings = new Settings(host.fakeSecrets() as unknown as vscode.SecretStorage, log);
  registry = new ModelRegistry(() => settings.sources(), new LastServedModels(host.fakeState()), log);
  provider = new Provider(registry, settings, log);
  status = new StatusBar(registry, settings, { status: undefined });
  signedOut = new SignedOutSettings(host.fakeState(), log);
  const completion = { snooze: async () => {}, showLastRequest: async () => {} };
  commands = registerCommands({ registry, settings, completion, signedOut, log, version: "1" });
});
afterEach(async () => {
  commands.dispose();
  vi.restoreAllMocks();
  await fake?.stop();
  fake = undefined;
});

const run = (name: string) => host.registered.get(`stoker.${name}`)?.();
const model = { id: "xx/m1", owned_by: "vllm", max_model_len: 8192, quantization: "Q4_0" };
const models = lists({ ...model, capabilities: { tools: "emulated" } });

async function serve(paths: Record<string, Handler>): Promise<void> {
  fake = await FakeServer.start({ "/v1/models": models, ...paths });
  host.configured.user = fake.server.base;
}

/** The English words in what is shown. */
function words(shown: readonly (string | undefined)[]): string[] {
  return shown.flatMap((each) => {
    const plain = (each ?? "").replace(/\$\([\w-]+\)/g, "").replace(DATA, "").replace(NAMES, "");
    return plain.match(/[a-z]{2,}/gi) ?? [];
  });
}

function onScreen(): string[] {
  const { messages, inputs, picks, progress, items } = host.screen;
  return [
    ...messages.map((message) => message.replace(/^\w+: /, "")),
    ...inputs.flatMap(({ title, prompt }) => [title, prompt]),
    ...picks.flatMap(({ items: each, placeHolder }) => [
      placeHolder,
      ...each.flatMap(({ label, detail }) => [label, detail ?? ""]),
    ]),
    ...progress,
    ...items.flatMap((item) => [item.text, String(item.tooltip), item.accessibilityInformation.label]),
  ];
}

test("untranslated words are found", () => {
  expect(words(["$(check) xx/m1", "Stoker ECONNREFUSED 127.0.0.1:9"])).toEqual([]);
  expect(words(["$(check) not reached"])).toEqual(["not", "reached"]);
});

/** An address where nothing listens. */
async function unreachable(): Promise<string> {
  const server = await FakeServer.start({});
  await server.stop();
  return server.server.base;
}

const COMMANDS = "manage setEndpoint checkEndpoint setApiKey setHuggingFaceToken allowSignedOut undoChatSettings copyDiagnostics".split(" ");

test.each([
  ["unset", async () => undefined],
  ["no URL", async () => "ftp://xx"],
  ["unreachable", unreachable],
])("every command, with an endpoint that is %s", async (_, endpoint) => {
  host.configured.user = await endpoint();
  for (const name of COMMANDS) {
    await run(name);
    status.update();
    expect(words(onScreen())).toEqual([]);
  }
  expect(host.screen.inputs.length).toBeGreaterThanOrEqual(2);
});

test.each([
  ["answers", streams(text("O"), 5, text("K"), finish("stop"), "[DONE]")],
  ["refuses", fails(401, {})],
])("every command, with a server that %s", async (_, chat) => {
  await serve({ "/v1/chat/completions": chat });
  for (const name of COMMANDS) {
    await run(name);
    status.update();
    expect(words(onScreen())).toEqual([]);
  }
  expect(host.screen.messages.length).toBeGreaterThanOrEqual(2);
});

test.each([401, 404, 500])("a list of models that fails with HTTP %i", async (code) => {
  await serve({ "/v1/models": fails(code, {}) });
  await run("manage");
  status.update();
  expect(host.screen.messages).not.toEqual([]);
  expect(words(onScreen())).toEqual([]);
});

test("the settings that let chat work signed out: allowed, overruled, undone, refused", async () => {
  for (const key of ["chat.allowAnonymousAccess", "chat.agentHost.byokModels.enabled"]) {
    host.editorSettings.set(key, { default: false });
  }
  host.editorSettings.set("chat.byokUtilityModelDefault", { default: "none", policy: "none" });
  host.screen.choosesButton = "";
  await signedOut.offer();
  await run("undoChatSettings");
  host.configured.refuses = "xx";
  await run("allowSignedOut");
  expect(host.screen.messages.length).toBeGreaterThan(8);
  expect(words(onScreen())).toEqual([]);
});

test("an untrusted folder, and settings that cannot be written", async () => {
  await serve({});
  host.configured.trusted = false;
  host.configured.refuses = "xx";
  host.screen.types = "xx:1";
  await run("setEndpoint");
  status.update();
  expect(host.screen.messages).toHaveLength(1);
  expect(words(onScreen())).toEqual([]);
});

test("a missing stoker command", async () => {
  await run("startServer");
  host.tasks.end(host.tasks.run[0]!, 127);
  await expect.poll(() => host.screen.messages, { timeout: 10_000 }).toHaveLength(1);
  expect(words(onScreen())).toEqual([]);
});

test.each(["xx://yy", "http://me:50%@xx", "http://xx yy", "/xx", "8080", "http://xx..yy"])("%s as it is typed", async (typed) => {
  await run("setEndpoint");
  const refusal = host.screen.inputs[0]?.validateInput?.(typed);
  expect(typeof refusal).toBe("string");
  expect(words([refusal])).toEqual([]);
});

const half = calls({ index: 0, id: "a", function: { name: "xxtool", arguments: '{"a": "' } });
const answers: [string, Handler][] = [
  ...[400, 401, 404, 429, 500].map((code): [string, Handler] => [`HTTP ${code}`, fails(code, { error: "xx" })]),
  ["a wait", fails(429, {}, { "Retry-After": "7" })],
  ["an overflow", fails(400, { error: { code: "context_length_exceeded", n_ctx: 512 } })],
  ["no tools", fails(400, { error: "xx:tool_choice" })],
  ["no body", (_, response) => void response.writeHead(204).end()],
  ["no JSON", streams(text("xx"), "{")],
  ["no end", streams(text("xx"))],
  ["no text", streams(finish("stop"))],
  ["only thinking", streams(thinks("xx"), finish("stop"))],
  ["a cut tool call", streams(half, finish("length"))],
  ["a broken tool call", streams(half, finish("tool_calls"))],
];

function question(report: (part: unknown) => void) {
  return [
    [{ role: 1, content: [new vscode.LanguageModelTextPart("xx")], name: undefined }],
    { toolMode: 1 } as vscode.ProvideLanguageModelChatResponseOptions,
    { report },
    new host.CancellationTokenSource().token as unknown as vscode.CancellationToken,
  ] as const;
}

async function ask(): Promise<unknown[]> {
  const [information] = await provider.provideLanguageModelChatInformation({ silent: true });
  const parts: unknown[] = [];
  await provider.provideLanguageModelChatResponse(information!, ...question((part) => parts.push(part)));
  return parts;
}

test.each(answers)("an answer with %s", async (_, chat) => {
  await serve({ "/v1/chat/completions": chat });
  const error = await ask().then(() => undefined, (reason: unknown) => reason as Error);
  expect(error).toBeInstanceOf(Error);
  expect(host.l10n.t).toHaveBeenCalled();
  expect(words([error?.message])).toEqual([]);
});

test("a server that is gone, and a model that is no longer served", async () => {
  await serve({});
  const [information] = await provider.provideLanguageModelChatInformation({ silent: true });
  await fake?.stop();
  const gone = await ask().catch((reason: unknown) => (reason as Error).message);
  expect(gone).toMatch(/^127\.0\.0\.1:\d+ [A-Z_]+$/);
  expect(words([String(gone)])).toEqual([]);
  host.configured.user = undefined;
  await registry.reset();
  for (const [reset, shown] of [
    [undefined, "xx1"],
    ["another server", "xx1 127.0.0.1:0 xx/m1"],
    ["an empty one", "127.0.0.1:0"],
  ] as const) {
    if (reset) await serve(reset === "an empty one" ? { "/v1/models": lists() } : {});
    await registry.reset();
    const message = await provider
      .provideLanguageModelChatResponse({ ...information!, id: "xx1" }, ...question(() => {}))
      .catch((reason: unknown) => (reason as Error).message);
    expect(String(message).replace(/:\d+/, ":0")).toBe(shown);
    await fake?.stop();
  }
});

test("the note under an answer that is cut, and what the picker shows", async () => {
  await serve({
    "/v1/chat/completions": streams(text("xx"), finish("length")),
    "/v1/models": lists({ id: "xx/m1" }),
  });
  const [answer, note] = (await ask()) as { value: string }[];
  expect([answer?.value, note?.value]).toEqual(["xx", "\n\n**"]);
  const offered = await provider.provideLanguageModelChatInformation({ silent: true });
  expect(words(offered.flatMap(({ tooltip, detail }) => [tooltip, detail]))).toEqual([]);
});
