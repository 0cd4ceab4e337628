/** The status bar item, and the one notification of an outage. */
import { beforeEach, expect, test } from "vitest";
import type { Catalog, Offer, Source } from "../../src/servers/modelRegistry";
import { HttpError } from "../../src/api/apiClient";
import { Status } from "../../src/ui/statusBar";
import * as host from "../support/fakeVscode";

const source: Source = { prefix: "", label: "box:1", server: { base: "http://box:1", headers: {} } };
const other: Source = { ...source, prefix: "hf/", label: "Hugging Face" };

function offer(id: string): Offer {
  const model = { id, engine: "vLLM", maxModelLen: 8192, vision: false };
  return { id, model, source, context: 8192, isAlias: false } as unknown as Offer;
}

const local = (of: Offer): Offer => ({ ...of, id: "local", isAlias: true });

interface Known {
  sources: Source[];
  outages: { source: Source; error: unknown }[];
  current: Offer[];
  readonly models: Offer[];
  gone: string[];
  outageOf: Catalog["outageOf"];
}
let catalog: Known;
const answered = (from: Offer, tokensPerS?: number) =>
  status.answered({ offer: from, result: { timing: { tokensPerS } } } as never);
let status: Status;
/** What is wrong with the setting. */
let problem: string | undefined;
/** Whether the folder names an endpoint that is not used. */
let withheld = false;
const item = () => host.screen.items[0]!;
const hover = () => String(item().tooltip);

beforeEach(() => {
  host.openWindow();
  catalog = {
    sources: [],
    outages: [],
    current: [],
    gone: [],
    outageOf: () => undefined,
    get models() {
      return this.current.filter(({ isAlias }) => !isAlias);
    },
  };
  problem = undefined;
  withheld = false;
  status = new Status(catalog as unknown as Catalog, { problem: () => problem, isWithheld: () => withheld });
});

const warnings = () => host.screen.messages.filter((message) => message.startsWith("warning"));

test("with no endpoint it says how to set one, and nothing is wrong", () => {
  expect(item()).toMatchObject({ text: "$(plug) Stoker", command: "stoker.manage", visible: true });
  expect(hover()).toContain("Click to set one");
  expect(host.executed).toContain("setContext stoker.connected false");
  expect(host.screen.messages).toEqual([]);
});

test("before any question it names what 'local' stands for, and the hover every model once", () => {
  Object.assign(catalog, { sources: [source], current: [local(offer("org/a")), offer("org/a"), offer("b")] });
  status.update();
  expect(item().text).toBe("$(check) a");
  expect(item().accessibilityInformation.label).toBe("Stoker is connected: a");
  expect(hover().split("\n")).toEqual([
    expect.stringContaining("org/a · vLLM at box:1"),
    expect.stringContaining("b · vLLM at box:1"),
  ]);
  expect(host.executed.at(-1)).toBe("setContext stoker.connected true");
});

test("it names the model that is asked, from the question on, with the last speed of that model", () => {
  Object.assign(catalog, { sources: [source], current: [local(offer("a")), offer("a"), offer("b")] });
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

test("a chosen model that is gone is a warning with the reason, until another one is asked", () => {
  Object.assign(catalog, { sources: [source], current: [local(offer("c")), offer("c")], gone: ["org/b"] });
  status.asked("org/b");
  expect(item().text).toBe("$(warning) b");
  expect(hover()).toMatch(/^b is no longer served: box:1 now serves c\./);
  expect(item().backgroundColor?.id).toBe("statusBarItem.warningBackground");
  status.asked("local");
  expect(item().text).toBe("$(check) c");
});

test("it follows 'local' to the next model", () => {
  Object.assign(catalog, { sources: [source], current: [local(offer("a")), offer("a")] });
  status.asked("local");
  catalog.current = [local(offer("c")), offer("c")];
  status.update();
  expect(item().text).toBe("$(check) c");
});

test("in a folder that is not trusted it says that VS Code offers no models, and leads to trust", () => {
  Object.assign(catalog, { sources: [source], current: [local(offer("a")), offer("a")] });
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

test("a folder that is not trusted is no warning where no endpoint is named, and one where the folder names it", () => {
  host.configured.trusted = false;
  status.update();
  expect(item().text).toBe("$(plug) Stoker");
  withheld = true;
  status.update();
  expect(hover()).toMatch(/^Restricted Mode/);
});

test("a setting that cannot be an endpoint is a warning, and not as if none were set", () => {
  problem = "It is not a URL.";
  status.update();
  expect(item().text).toBe("$(warning) Stoker");
  expect(hover()).toMatch(/^The setting huggingface.customTGIEndpoint cannot be used: It is not a URL\./);
});

test("an endpoint with no model is a warning", () => {
  catalog.sources = [source];
  status.update();
  expect(item().text).toBe("$(warning) Stoker");
  expect(hover()).toBe("The endpoint offers no model.");
});

test("an outage is told once, however often it is seen, and the item warns until it is over", () => {
  Object.assign(catalog, { sources: [source], outages: [{ source, error: new HttpError(500, "") }] });
  for (let round = 0; round < 5; round += 1) status.update();
  expect(warnings()).toEqual(["warning: box:1 answered HTTP 500. Its own log says why."]);
  expect(item().text).toBe("$(warning) Stoker");
  expect(item().backgroundColor).toEqual(new host.ThemeColor("statusBarItem.warningBackground"));
  Object.assign(catalog, { outages: [], current: [offer("a")] });
  status.update();
  expect(item().text).toBe("$(check) a");
  expect(item().backgroundColor).toBeUndefined();
  expect(warnings()).toHaveLength(1);
});

test("each server that is down is told, once", () => {
  const down = [source, other].map((each) => ({ source: each, error: new HttpError(401, "") }));
  for (const outage of [...down, ...down]) {
    catalog.outages = [outage];
    status.update();
  }
  expect(warnings()).toEqual([
    expect.stringContaining("box:1 needs an API key"),
    expect.stringContaining("Hugging Face needs an API key"),
  ]);
});

test("its button shows the log; closing it does nothing", async () => {
  host.screen.choosesButton = "Show Log";
  catalog.outages = [{ source, error: new HttpError(500, "") }];
  status.update();
  await Promise.resolve();
  await expect.poll(() => host.executed).toContain("stoker.showLog");
});

test("what a server calls its model is text, and never Markdown", () => {
  const name = "[click](command:evil) <b>*now*</b> `x`";
  Object.assign(catalog, { sources: [source], current: [offer(name)] });
  status.update();
  expect(item().tooltip).toBe(`${name} · vLLM at box:1 · context 8192 tokens`);
});

test("disposing takes the item away", () => {
  status.dispose();
  expect(item().visible).toBe(false);
});
