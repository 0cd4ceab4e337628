/** The status bar item, and the one notification of an outage. */
import { beforeEach, expect, test } from "vitest";
import type { ModelEntry, Source } from "../../src/servers/modelEntry";
import type { ModelRegistry } from "../../src/servers/modelRegistry";
import type { CompletionStatus } from "../../src/completion";
import { HttpError } from "../../src/api/apiClient";
import { StatusBar } from "../../src/ui/statusBar";
import * as host from "../support/fakeVscode";

const source: Source = { prefix: "", label: "box:1", server: { base: "http://box:1", headers: {} } };
const other: Source = { ...source, prefix: "hf/", label: "Hugging Face" };

function offer(id: string): ModelEntry {
  const model = { id, engine: "vLLM", maxModelLen: 8192, vision: false };
  return { id, model, source, context: 8192, isAlias: false } as unknown as ModelEntry;
}

const local = (of: ModelEntry): ModelEntry => ({ ...of, id: "local", isAlias: true });

interface Known {
  sources: Source[];
  outages: { source: Source; error: unknown }[];
  current: ModelEntry[];
  readonly models: ModelEntry[];
  gone: string[];
  outageOf: ModelRegistry["outageOf"];
}
let registry: Known;
const answered = (from: ModelEntry, tokensPerS?: number) =>
  status.answered({ entry: from, result: { timing: { tokensPerS } } } as never);
let status: StatusBar;
/** What is to be told of completion. */
let completion: { status: CompletionStatus | undefined };
/** What is wrong with the endpoint setting. */
let problem: string | undefined;
/** Whether the folder names an endpoint that is ignored. */
let withheld = false;
const item = () => host.screen.items[0]!;
const hover = () => String(item().tooltip);

beforeEach(() => {
  host.openWindow();
  registry = {
    sources: [],
    outages: [],
    current: [],
    gone: [],
    outageOf: () => undefined,
    get models() {
      return this.current.filter(({ isAlias }) => !isAlias);
    },
  };
  completion = { status: undefined };
  problem = undefined;
  withheld = false;
  status = new StatusBar(registry as unknown as ModelRegistry, { problem: () => problem, isWithheld: () => withheld }, completion);
});

const warnings = () => host.screen.messages.filter((message) => message.startsWith("warning"));

test("without an endpoint it offers to set one, and is no warning", () => {
  expect(item()).toMatchObject({ text: "$(plug) Stoker", command: "stoker.manage", visible: true });
  expect(hover()).toContain("Click to set one");
  expect(host.executed).toContain("setContext stoker.connected false");
  expect(host.screen.messages).toEqual([]);
});

test("before any message it names what 'local' stands for, and the hover lists every model once", () => {
  Object.assign(registry, { sources: [source], current: [local(offer("org/a")), offer("org/a"), offer("b")] });
  status.update();
  expect(item().text).toBe("$(check) a");
  expect(item().accessibilityInformation.label).toBe("Stoker is connected: a");
  expect(hover().split("\n")).toEqual([
    expect.stringContaining("org/a · vLLM at box:1"),
    expect.stringContaining("b · vLLM at box:1"),
  ]);
  expect(host.executed.at(-1)).toBe("setContext stoker.connected true");
});

test("it names the model that was last asked, with its last speed", () => {
  Object.assign(registry, { sources: [source], current: [local(offer("a")), offer("a"), offer("b")] });
  status.asked("b");
  expect(item().text).toBe("$(check) b");
  answered(offer("b"), 55.4);
  expect(item().text).toBe("$(check) b 55 tokens/s");
  expect(host.executed).toContain("setContext stoker.answered true");
  answered(offer("b"));
  expect(item().text).toBe("$(check) b 55 tokens/s");
  status.asked("a");
  expect(item().text).toBe("$(check) a");
  answered(local(offer("a")), 7);
  expect(item().text).toBe("$(check) a 7 tokens/s");
});

test("a chosen model that is gone is a warning with the reason, until another is asked", () => {
  Object.assign(registry, { sources: [source], current: [local(offer("c")), offer("c")], gone: ["org/b"] });
  status.asked("org/b");
  expect(item().text).toBe("$(warning) b");
  expect(hover()).toMatch(/^b is no longer served: box:1 now serves c\./);
  expect(item().backgroundColor?.id).toBe("statusBarItem.warningBackground");
  status.asked("local");
  expect(item().text).toBe("$(check) c");
});

test("it follows 'local' to the next model", () => {
  Object.assign(registry, { sources: [source], current: [local(offer("a")), offer("a")] });
  status.asked("local");
  registry.current = [local(offer("c")), offer("c")];
  status.update();
  expect(item().text).toBe("$(check) c");
});

test("in a folder that is not trusted it explains Restricted Mode, and leads to trust", () => {
  Object.assign(registry, { sources: [source], current: [local(offer("a")), offer("a")] });
  host.configured.trusted = false;
  status.update();
  expect(item()).toMatchObject({ text: "$(warning) Stoker", command: "workbench.trust.manage" });
  expect(hover()).toMatch(/^Restricted Mode: VS Code offers no models until you trust this folder/);
  expect(item().accessibilityInformation.label).toBe(hover());
  expect(item().backgroundColor?.id).toBe("statusBarItem.warningBackground");
  host.configured.trusted = true;
  status.update();
  expect(item()).toMatchObject({ text: "$(check) a", command: "stoker.manage", backgroundColor: undefined });
});

test("an untrusted folder is a warning only where an endpoint is set, if only by the folder", () => {
  host.configured.trusted = false;
  status.update();
  expect(item().text).toBe("$(plug) Stoker");
  withheld = true;
  status.update();
  expect(hover()).toMatch(/^Restricted Mode/);
});

test("an invalid endpoint setting is a warning, and not treated as unset", () => {
  problem = "This is not a valid URL.";
  status.update();
  expect(item().text).toBe("$(warning) Stoker");
  expect(hover()).toMatch(/^The setting huggingface.customTGIEndpoint cannot be used: This is not a valid URL\./);
});

test("an endpoint without a model is a warning", () => {
  registry.sources = [source];
  status.update();
  expect(item().text).toBe("$(warning) Stoker");
  expect(hover()).toBe("The endpoint serves no chat model.");
});

test("an outage is notified once, and the item warns until it is over", () => {
  Object.assign(registry, { sources: [source], outages: [{ source, error: new HttpError(500, "") }] });
  for (let round = 0; round < 5; round += 1) status.update();
  expect(warnings()).toEqual(["warning: box:1 answered HTTP 500. Check its log."]);
  expect(item().text).toBe("$(warning) Stoker");
  expect(item().backgroundColor).toEqual(new host.ThemeColor("statusBarItem.warningBackground"));
  Object.assign(registry, { outages: [], current: [offer("a")] });
  status.update();
  expect(item().text).toBe("$(check) a");
  expect(item().backgroundColor).toBeUndefined();
  expect(warnings()).toHaveLength(1);
});

test("a server that redirects to another one is named, with what to do", () => {
  Object.assign(registry, { sources: [source], outages: [{ source, error: new HttpError(302, "") }] });
  status.update();
  expect(warnings()).toEqual([expect.stringContaining("box:1 redirects (HTTP 302). Stoker follows no redirect to another server")]);
  expect(warnings()).toEqual([expect.stringContaining("'Stoker: Set Endpoint'")]);
});

test("each server that is down is notified once", () => {
  const down = [source, other].map((each) => ({ source: each, error: new HttpError(401, "") }));
  for (const outage of [...down, ...down]) {
    registry.outages = [outage];
    status.update();
  }
  expect(warnings()).toEqual([
    expect.stringContaining("box:1 needs an API key"),
    expect.stringContaining("Hugging Face needs an API key"),
  ]);
});

test("its button shows the log; closing it does nothing", async () => {
  host.screen.choosesButton = "Show Log";
  registry.outages = [{ source, error: new HttpError(500, "") }];
  status.update();
  await Promise.resolve();
  await expect.poll(() => host.executed).toContain("stoker.showLog");
});

test("the name of a model is text, and never Markdown", () => {
  const name = "[click](command:evil) <b>*now*</b> `x`";
  Object.assign(registry, { sources: [source], current: [offer(name)] });
  status.update();
  expect(item().tooltip).toBe(`${name} · vLLM at box:1 · context 8192 tokens`);
});

test("disposing removes the item", () => {
  status.dispose();
  expect(item().visible).toBe(false);
});

test("completion is a line of the hover; only a problem with it shows beside the model, never in a message", () => {
  Object.assign(registry, { sources: [source], current: [local(offer("a")), offer("a")] });
  completion.status = { text: "Completion: coder, 240 ms", isProblem: false };
  status.update();
  expect(item().text).toBe("$(check) a");
  expect(hover().split("\n").at(-1)).toBe("Completion: coder, 240 ms");
  completion.status = { text: "Completion failed: box:1 answered HTTP 500.", isProblem: true };
  status.update();
  expect(item().text).toBe("$(check) a $(circle-slash)");
  expect(item().accessibilityInformation.label).toContain("Completion failed");
  expect(host.screen.messages).toEqual([]);
});
