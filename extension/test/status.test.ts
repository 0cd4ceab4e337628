/** The status bar item, and the one notification of an outage. */
import { beforeEach, expect, test } from "vitest";
import type { Catalog, Offer, Source } from "../src/catalog";
import { HttpError } from "../src/http";
import { Status } from "../src/status";
import * as host from "./vscode";

const source: Source = { prefix: "", label: "box:1", server: { base: "http://box:1", headers: {} } };
const other: Source = { ...source, prefix: "hf/", label: "Hugging Face" };

function offer(id: string, tokensPerS?: number): Offer {
  const model = { id, engine: "vLLM", maxModelLen: 8192, vision: false, tokensPerS };
  return { id, model, source, context: 8192 } as unknown as Offer;
}

let catalog: { sources: Source[]; outages: { source: Source; error: unknown }[]; current: Offer[] };
let status: Status;
const item = () => host.screen.items[0]!;
const hover = () => String(item().tooltip);

beforeEach(() => {
  host.openWindow();
  catalog = { sources: [], outages: [], current: [] };
  status = new Status(catalog as unknown as Catalog);
});

const warnings = () => host.screen.messages.filter((message) => message.startsWith("warning"));

test("with no endpoint it says how to set one, and nothing is wrong", () => {
  expect(item()).toMatchObject({ text: "$(plug) Stoker", command: "stoker.manage", visible: true });
  expect(hover()).toContain("Click to set one");
  expect(host.executed).toContain("setContext stoker.connected false");
  expect(host.screen.messages).toEqual([]);
});

test("connected, it names the first model with its speed, and the hover all of them", () => {
  Object.assign(catalog, { sources: [source], current: [offer("org/a", 41.6), offer("b")] });
  status.update();
  expect(item().text).toBe("$(check) a 42 tokens/s");
  expect(item().accessibilityInformation.label).toBe("Stoker is connected: a 42 tokens/s");
  expect(hover().split("\n")).toEqual([
    expect.stringContaining("org/a · vLLM at box:1"),
    expect.stringContaining("b · vLLM at box:1"),
  ]);
  expect(host.executed.at(-1)).toBe("setContext stoker.connected true");
});

test("after an answer it names the model that answered, with the speed of that answer", () => {
  Object.assign(catalog, { sources: [source], current: [offer("a", 42), offer("b", 10)] });
  status.answered({ offer: offer("b"), result: { timing: { tokensPerS: 55.4 } } } as never);
  expect(item().text).toBe("$(check) b 55 tokens/s");
  expect(host.executed).toContain("setContext stoker.answered true");
  catalog.current = [offer("a", 42)];
  status.update();
  expect(item().text).toBe("$(check) a 42 tokens/s");
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
