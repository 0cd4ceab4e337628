/** The commands, from the palette to what they show. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as vscode from "vscode";
import { ModelRegistry } from "../../src/servers/modelRegistry";
import { registerCommands } from "../../src/ui/commands";
import { LastServedModels } from "../../src/servers/lastServedModels";
import { Settings } from "../../src/servers/settings";
import { SignedOutSettings } from "../../src/ui/signedOutSettings";
import { FakeServer, fails, finish, gatewayModel, gatewayTokenize, lists, streams, text, usage, type Handler } from "../support/fakeServer";
import * as host from "../support/fakeVscode";

let log = host.fakeLog();
let secrets = host.fakeSecrets();
let settings: Settings;
let registry: ModelRegistry;
let commands: vscode.Disposable;
let fake: FakeServer | undefined;
let now = 0;

beforeEach(() => {
  host.openWindow();
  log = host.fakeLog();
  secrets = host.fakeSecrets();
  now = 0;
  const asLog = log as unknown as vscode.LogOutputChannel;
  settings = new Settings(secrets as unknown as vscode.SecretStorage, asLog);
  registry = new ModelRegistry(() => settings.sources(), new LastServedModels(host.fakeState()), asLog, () => now);
  const completion = { snooze: async () => {}, showLastRequest: async () => {} };
  const signedOut = new SignedOutSettings(host.fakeState(), asLog);
  commands = registerCommands({ registry, settings, completion, signedOut, log: asLog, version: "1.2.3" });
});
afterEach(async () => {
  commands.dispose();
  vi.restoreAllMocks();
  await fake?.stop();
  fake = undefined;
});

const run = (name: string) => host.registered.get(`stoker.${name}`)?.();
const models = lists({ id: "org/m", owned_by: "vllm", max_model_len: 8192 });
const answers = streams(text("O"), 5, text("K"), finish("stop"), usage(9, 2), "[DONE]");

async function serve(paths: Record<string, Handler>): Promise<FakeServer> {
  fake = await FakeServer.start(paths);
  host.configured.user = fake.server.base;
  return fake;
}

describe("Set Endpoint", () => {
  test("writes the normalized form of what is typed", async () => {
    host.screen.types = "localhost:1/v1";
    await run("setEndpoint");
    expect(host.configured.user).toBe("http://localhost:1");
  });

  test("reports settings that cannot be written, and never writes an invalid endpoint", async () => {
    host.screen.types = "localhost:1";
    host.configured.refuses = "EROFS: read-only file system";
    await run("setEndpoint");
    host.configured.refuses = undefined;
    // A host that ignores its own validation.
    host.screen.types = "htp:/wrong url";
    await run("setEndpoint");
    expect(host.screen.messages).toEqual([
      "error: Could not write the endpoint to your settings: EROFS: read-only file system",
      "error: Could not write the endpoint to your settings: An address cannot contain spaces.",
    ]);
    expect(host.configured.user).toBeUndefined();
  });

  test("shows the address without its credentials, and Enter keeps them", async () => {
    host.configured.user = "https://me:SECRET@box/v1";
    host.screen.types = (box) => box.value;
    await run("setEndpoint");
    expect(host.screen.inputs[0]?.value).toBe("https://box");
    expect(host.configured.user).toBe("https://me:SECRET@box/v1");
  });

  test("another address does not keep the credentials", async () => {
    host.configured.user = "https://me:SECRET@box/v1";
    host.screen.types = "https://other";
    await run("setEndpoint");
    expect(host.configured.user).toBe("https://other");
  });

  test("empty disconnects, even if the setting is no URL; Escape changes nothing", async () => {
    for (const before of ["https://box", "ftp://x"]) {
      host.configured.user = before;
      host.screen.types = undefined;
      await run("setEndpoint");
      expect(host.configured.user).toBe(before);
      host.screen.types = "";
      await run("setEndpoint");
      expect(host.configured.user).toBeUndefined();
    }
  });

  test("validates while the user types", async () => {
    await run("setEndpoint");
    const validate = host.screen.inputs[0]?.validateInput;
    expect(validate?.("localhost:1")).toBeUndefined();
    expect(validate?.("")).toBeUndefined();
    expect(validate?.("ftp://x")).toBe("The address must start with http:// or https://, not ftp:");
    expect(validate?.("http://me:50%@x")).toContain("%25");
    expect(validate?.("htp:/wrong url")).toBe("An address cannot contain spaces.");
  });
});

describe("Set API Key", () => {
  test("stores the key of the endpoint, hidden, and asks the server again", async () => {
    const server = await serve({
      "/v1/models": (received, response) =>
        received.headers.authorization === "Bearer SECRET"
          ? models(received, response)
          : fails(401, {})(received, response),
    });
    await registry.entries();
    expect(registry.models).toEqual([]);
    host.screen.types = "SECRET";
    await run("setApiKey");
    expect(host.screen.inputs[0]).toMatchObject({
      title: `API key for ${server.server.base}`,
      password: true,
    });
    expect(host.screen.inputs[0]?.value).toBeUndefined();
    expect(registry.models).toHaveLength(1);
    expect(JSON.stringify([log.lines, host.configured])).not.toContain("SECRET");
  });

  test("without an endpoint it asks for that first", async () => {
    await run("setApiKey");
    expect(host.screen.messages).toEqual([
      "information: Set the endpoint first: an API key belongs to one endpoint.",
    ]);
    expect(host.screen.inputs).toEqual([]);
  });

  test("Escape keeps the key", async () => {
    host.configured.user = "http://127.0.0.1:9";
    host.screen.types = "SECRET";
    await run("setApiKey");
    host.screen.types = undefined;
    await run("setApiKey");
    expect([...secrets.kept.values()]).toEqual(["SECRET"]);
  });
});

test("Set Hugging Face Token stores it in secret storage, hidden", async () => {
  const asked = vi.spyOn(registry, "reset").mockResolvedValue([]);
  host.screen.types = "hf_SECRET";
  await run("setHuggingFaceToken");
  expect(host.screen.inputs[0]).toMatchObject({ title: "Hugging Face token", password: true });
  expect([...secrets.kept.values()]).toEqual(["hf_SECRET"]);
  expect(asked).toHaveBeenCalledTimes(1);
});

describe("Check Endpoint", () => {
  test("lists, counts and chats for real, and reports it in one sentence", async () => {
    const server = await serve({
      "/v1/models": lists(gatewayModel("org/m")),
      "/v1/chat/completions": answers,
      "/tokenize": gatewayTokenize((prompt) => prompt.length),
    });
    await run("checkEndpoint");
    expect(host.screen.messages).toEqual([
      expect.stringMatching(
        /^information: org\/m works: first token after \d+ ms, context 8192 tokens, token counts are exact\.$/,
      ),
    ]);
    expect(JSON.parse(server.asked("/v1/chat/completions")[0]?.body ?? "")).toMatchObject({
      model: "org/m",
      max_tokens: 16,
    });
    expect(log.lines).toContain("info check: the endpoint works");
  });

  test("reports where counts are only estimated", async () => {
    await serve({ "/v1/models": models, "/v1/chat/completions": answers });
    await run("checkEndpoint");
    expect(host.screen.messages[0]).toContain("token counts are estimated");
  });

  test("keeps a learned limit, and the models of a server that fails for the moment", async () => {
    let up = true;
    await serve({
      "/v1/models": (received, response) =>
        up ? { data: [{ id: "m" }] } : fails(503, {})(received, response),
      "/v1/chat/completions": answers,
    });
    await registry.entries();
    registry.learnContext(registry.current[0]!, 4096);
    await run("checkEndpoint");
    expect(host.screen.messages[0]).toContain("context 4096 tokens");
    up = false;
    await run("checkEndpoint");
    expect(host.screen.messages[1]).toMatch(/^error: .*HTTP 503/);
    expect(registry.models).toMatchObject([{ id: "m", context: 4096 }]);
  });

  test("asks the server again, however fresh the last answer is", async () => {
    const server = await serve({ "/v1/models": models, "/v1/chat/completions": answers });
    await registry.entries();
    await run("checkEndpoint");
    expect(server.asked("/v1/models")).toHaveLength(2);
  });

  test.each([
    ["unset", undefined, /There is no model to check\. Set the endpoint first/],
    ["no URL", "ftp://x", /cannot be used: The address must start with http/],
    ["unreachable", "http://127.0.0.1:9", /Cannot reach 127\.0\.0\.1:9/],
  ])("an endpoint that is %s", async (_, value, message) => {
    host.configured.user = value;
    await run("checkEndpoint");
    expect(host.screen.messages).toEqual([expect.stringMatching(message)]);
    expect(host.screen.messages[0]).toMatch(/^error/);
  });

  test("a refused chat explains what to do", async () => {
    await serve({ "/v1/models": models, "/v1/chat/completions": fails(401, {}) });
    await run("checkEndpoint");
    expect(host.screen.messages).toEqual([expect.stringMatching(/^error: .*Set API Key/)]);
    expect(log.lines).toContain("error check: the endpoint does not work");
  });

  test("a server that is silent for two minutes", async () => {
    await serve({ "/v1/models": models, "/v1/chat/completions": () => undefined });
    const after = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => after(ms === 120_000 ? 20 : ms));
    await run("checkEndpoint");
    expect(host.screen.messages).toEqual(["error: org/m did not answer within two minutes."]);
  });

  test("a bug in the extension is not blamed on the server", async () => {
    await serve({ "/v1/models": models, "/v1/chat/completions": answers });
    const [offer] = await registry.entries();
    vi.spyOn(offer!.counter, "isExact").mockRejectedValue(new TypeError("a mistake"));
    await expect(run("checkEndpoint")).rejects.toThrow("a mistake");
    expect(host.screen.messages).toEqual([]);
  });
});

describe("Copy Diagnostics", () => {
  test("lists versions, models and limits, and no key", async () => {
    const server = await serve({ "/v1/models": models });
    host.configured.user = server.server.base.replace("http://", "http://me:SECRET@");
    await settings.setApiKey({ base: server.server.base }, "SECRET");
    await run("copyDiagnostics");
    expect(host.env.clipboard.text.split("\n")).toEqual([
      "- Stoker 1.2.3, Test Code 1.139.0 (desktop)",
      "- remote: none, language: en",
      `- endpoint: ${server.server.base}`,
      "- thinking parts: yes",
      "- tools known to the editor: 0",
      expect.stringMatching(/^- org\/m · vLLM at .* · context 8192 tokens · exact counts: no$/),
      "",
    ]);
    expect(host.screen.messages[0]).toContain("on the clipboard");
  });

  test.each([
    ["", "- endpoint: unset"],
    ["ftp://me:SECRET@x", "- endpoint: not a URL"],
    ["http://127.0.0.1:9", "- down: Cannot reach 127.0.0.1:9"],
  ])("an endpoint of %j", async (value, line) => {
    host.configured.user = value;
    await run("copyDiagnostics");
    expect(host.env.clipboard.text).toContain(line);
    expect(host.env.clipboard.text).not.toContain("SECRET");
  });
});

describe("Show Status and Actions", () => {
  test("lists the models, and runs the chosen action", async () => {
    await serve({ "/v1/models": models });
    host.screen.choosesItem = "Check the endpoint";
    await run("manage");
    expect(host.screen.picks[0]).toMatchObject({
      placeHolder: "Stoker: what do you want to do?",
      items: [{ label: "$(check) org/m", detail: expect.stringContaining("context 8192 tokens") }, ...Array(12).fill({})],
    });
    expect(host.executed).toEqual(["stoker.checkEndpoint"]);
  });

  test("shows first what is wrong; a model or Escape runs nothing", async () => {
    await serve({ "/v1/models": fails(401, {}) });
    await run("manage");
    expect(host.screen.picks[0]?.placeHolder).toContain("needs an API key");
    expect(host.executed).toEqual([]);
  });

  test("every offered action is a command", async () => {
    await run("manage");
    const offered = (host.screen.picks[0]?.items ?? []).flatMap(({ command }) => command ?? []);
    expect(offered).toHaveLength(11);
    for (const command of offered) expect([...host.registered.keys()]).toContain(command);
  });
});

describe("Start and Stop Local Server", () => {
  test.each([
    ["startServer", "up"],
    ["stopServer", "down"],
  ])("%s runs 'stoker %s' as a visible task, and looks for models when it ends", async (name, word) => {
    const server = await serve({ "/v1/models": models });
    await run(name);
    expect(host.tasks.run).toMatchObject([
      { name: word, source: "Stoker", execution: { command: "stoker", args: [word] } },
    ]);
    expect(server.received).toEqual([]);
    host.tasks.end(host.tasks.run[0]!, 0);
    await expect.poll(() => registry.models.length, { timeout: 10_000 }).toBe(1);
    expect(log.lines).toContain(`info stoker ${word} ended with 0`);
    expect(host.screen.messages).toEqual([]);
  });

  test.each([127, 9009])("exit code %i explains how to install it", async (code) => {
    await run("startServer");
    host.tasks.end(host.tasks.run[0]!, code);
    await expect
      .poll(() => host.screen.messages, { timeout: 10_000 })
      .toEqual(["error: The stoker command is not on PATH. Run make up in a clone of Stoker, and add its .venv/bin to PATH."]);
  });

  test("a task that ends at once is noticed, and tasks of others are ignored", async () => {
    const asked = vi.spyOn(registry, "reset").mockResolvedValue([]);
    vi.spyOn(host.tasks, "executeTask").mockImplementation(async (task) => {
      host.tasks.end(task, 0);
      return { task };
    });
    host.tasks.end(new host.Task({ type: "shell" }, 1, "up", "x", new host.ShellExecution("x", [])), 127);
    expect(asked).not.toHaveBeenCalled();
    await run("startServer");
    expect(asked).toHaveBeenCalledTimes(1);
    commands.dispose();
    await host.tasks.end(new host.Task({ type: "stoker" }, 1, "up", "x", new host.ShellExecution("x", [])), 0);
    expect(asked).toHaveBeenCalledTimes(1);
  });
});

test("Show Log and Open Guide", async () => {
  await run("showLog");
  expect(log.lines).toEqual(["shown"]);
  await run("openGuide");
  expect(host.executed).toEqual(["workbench.action.openWalkthrough stoker.stoker#start"]);
});

test("nothing stays registered after the extension is deactivated", () => {
  expect(host.registered.size).toBe(14);
  commands.dispose();
  expect(host.registered.size).toBe(0);
});
