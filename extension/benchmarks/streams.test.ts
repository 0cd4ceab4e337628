/** The cost of a stream in the extension, printed and never judged: `npm run benchmark`.
 *
 * Goals: 10,000 parts at log level Trace take at most 1.2 times as long as at Info; the first token
 * is handed to VS Code within 20 ms of its arrival.
 */
import { expect, test } from "vitest";
import type * as vscode from "vscode";
import type { Source } from "../src/servers/modelEntry";
import { ModelRegistry } from "../src/servers/modelRegistry";
import { chat } from "../src/chat/chatCompletion";
import type { Sink } from "../src/chat/responseAccumulator";
import { LastServedModels } from "../src/servers/lastServedModels";
import { Provider } from "../src/chat/provider";
import { FakeServer, finish, lists, text, type Handler } from "../test/support/fakeServer";
import * as host from "../test/support/fakeVscode";

const ROUNDS = 40;
const { Info, Trace } = host.LogLevel;

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

test("10,000 parts at Trace against Info", { timeout: 120_000 }, async () => {
  const hundred = `data: ${JSON.stringify(text("word "))}\n\n`.repeat(100);
  const server = await FakeServer.start({
    "/v1/models": lists({ id: "m", owned_by: "vllm", max_model_len: 8192 }),
    "/v1/chat/completions": (_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      for (let at = 0; at < 100; at += 1) response.write(hundred);
      response.end(`data: ${JSON.stringify(finish("stop"))}\n\n`);
    },
  });
  const log = host.fakeLog();
  const sources: Source[] = [{ prefix: "", label: "here", server: server.server }];
  const asLog = log as unknown as vscode.LogOutputChannel;
  const registry = new ModelRegistry(async () => sources, new LastServedModels(host.fakeState()), asLog, () => 0);
  const provider = new Provider(registry, { problem: () => undefined }, asLog);
  const [model] = await provider.provideLanguageModelChatInformation({ silent: true });
  if (!model) throw new Error("no model");
  const question = [{ role: 1, content: [new host.LanguageModelTextPart("hi")], name: undefined }];
  const cpuMs = async (level: host.LogLevel): Promise<number> => {
    log.logLevel = level;
    let parts = 0;
    const before = process.cpuUsage();
    await provider.provideLanguageModelChatResponse(
      model,
      question as unknown as vscode.LanguageModelChatRequestMessage[],
      { toolMode: 1 } as vscode.ProvideLanguageModelChatResponseOptions,
      { report: () => (parts += 1) },
      new host.CancellationTokenSource().token as unknown as vscode.CancellationToken,
    );
    expect(parts).toBe(10_000);
    const used = process.cpuUsage(before);
    return (used.user + used.system) / 1000;
  };
  for (let round = 0; round < 10; round += 1) await cpuMs(Info); // until the code is compiled
  const taken = { [Info]: [] as number[], [Trace]: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const level of [Info, Trace] as const) taken[level].push(await cpuMs(level));
  }
  await server.stop();
  const [info, trace] = [median(taken[Info]), median(taken[Trace])];
  console.log(
    `10,000 parts, CPU, medians of ${ROUNDS}: Info ${info.toFixed(1)} ms, Trace ${trace.toFixed(1)} ms, ` +
      `${(trace / info).toFixed(2)} times (goal 1.2)`,
  );
});

test("from the arrival of the first token to VS Code", async () => {
  const tookMs: number[] = [];
  let writtenAt = 0;
  const oneToken: Handler = async (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    await new Promise((resolve) => setTimeout(resolve, 10));
    writtenAt = performance.now();
    response.write(`data: ${JSON.stringify(text("x"))}\n\n`);
    await new Promise((resolve) => setTimeout(resolve, 10));
    response.end(`data: ${JSON.stringify(finish("stop"))}\n\ndata: [DONE]\n\n`);
  };
  const server = await FakeServer.start({ "/v1/chat/completions": oneToken });
  const sink: Sink = {
    text: () => tookMs.push(performance.now() - writtenAt),
    thinking: () => {},
    toolCall: () => {},
  };
  const request = { model: "m", messages: [{ role: "user" as const, content: "hi" }], stream: true as const };
  for (let round = 0; round < ROUNDS; round += 1) {
    await chat(server.server, request, sink, new AbortController().signal);
  }
  await server.stop();
  expect(tookMs).toHaveLength(ROUNDS);
  console.log(`first token to VS Code: median ${median(tookMs).toFixed(2)} ms of ${ROUNDS} (goal 20)`);
});
