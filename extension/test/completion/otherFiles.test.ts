/** What goes along of other files, and that it is chosen and read only while nothing else runs. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type * as vscode from "vscode";
import type { CompletionGate } from "../../src/completion/completionGate";
import { CompletionSettings } from "../../src/completion/completionSettings";
import { IdleWork } from "../../src/completion/idleWork";
import { MeasuredSpeed } from "../../src/completion/measuredSpeed";
import { OtherFiles } from "../../src/completion/otherFiles";
import type { Requester } from "../../src/completion/requester";
import type { Suggestions } from "../../src/completion/suggestions";
import { cursorIn } from "../support/cursors";
import * as host from "../support/fakeVscode";

const HELPER = `def total_price(order):\n${"    # add up the price of the order\n".repeat(4)}    return sum(order)\n`;
const main = host.fakeDocument("file:///main.py", "price = total_price(order)\n");
const helper = host.fakeDocument("file:///helper.py", HELPER);
const secret = host.fakeDocument("file:///secret.py", HELPER.replace("sum", "SECRET"));
const at = (line: number) => new host.Range(new host.Position(line, 0), new host.Position(line, 0));

let others: OtherFiles;
let excluded: Set<unknown>;

beforeEach(() => {
  vi.useFakeTimers();
  host.openWindow();
  host.window.activeTextEditor = undefined;
  excluded = new Set([secret]);
  others = new OtherFiles(async (document) => !excluded.has(document));
});
afterEach(() => {
  others.dispose();
  vi.useRealTimers();
});

const noted = () => vi.advanceTimersByTimeAsync(5000);

function chosen(): string {
  const cursor = { ...cursorIn("old = total_price(first_order)\nprice = |"), uri: "file:/main.py" };
  const better = others.better(main as unknown as vscode.TextDocument, cursor, 6000);
  if (better) others.choose(better);
  return others.of("file:/main.py").map(({ filename, text }) => `${filename}: ${text}`).join("\n");
}

test.each<[string, () => void]>([
  ["opened", () => host.happens.activeEditor.fire({ document: helper, selection: { active: { line: 1 } } })],
  ["saved", () => host.happens.saved.fire(helper)],
  ["edited", () => host.happens.changed.fire({ document: helper, contentChanges: [{ range: at(1) }] })],
  ["copied from", () => host.happens.copied(helper, [at(1)])],
])("a file that was %s goes along", async (_, happens) => {
  happens();
  await noted();
  expect(chosen()).toMatch(/helper.py: [^]*return sum\(order\)/);
});

test("an excluded file does not, and one that is excluded later is dropped", async () => {
  host.happens.saved.fire(secret);
  host.happens.saved.fire(helper);
  await noted();
  expect(chosen()).not.toContain("SECRET");
  excluded.add(helper);
  host.happens.saved.fire(helper);
  await noted();
  expect(chosen()).toBe("");
});

test("nor does a deleted one, nor anything once all is forgotten", async () => {
  host.happens.saved.fire(helper);
  await noted();
  host.happens.deleted.fire({ files: [helper.uri] });
  expect(chosen()).toBe("");
  host.happens.saved.fire(helper);
  await noted();
  others.forget();
  expect(chosen()).toBe("");
});

test("what goes along stays the same from key to key, until it is chosen again", async () => {
  expect(chosen()).toBe("");
  host.happens.saved.fire(helper);
  await noted();
  expect(others.of("file:/main.py")).toEqual([]);
  expect(chosen()).not.toBe("");
  expect(others.of("file:/another.py")).toEqual([]);
});

test("in a notebook, the code of the cells above goes along", () => {
  const cells = ["import math", "# a title", "x = 1", ""].map((text, index) => ({
    kind: index === 1 ? host.NotebookCellKind.Markup : host.NotebookCellKind.Code,
    document: host.fakeDocument("vscode-notebook-cell:/n.ipynb", text),
  }));
  host.workspace.notebookDocuments = [{ uri: host.Uri.parse("file:///n.ipynb"), getCells: () => cells }];
  const document = cells[3]?.document as unknown as vscode.TextDocument;
  const cursor = { ...cursorIn("y|"), uri: "vscode-notebook-cell:/n.ipynb" };
  expect(others.better(document, cursor, 6000)?.extras).toEqual([{ filename: "n.ipynb", text: "import math\n\nx = 1" }]);
  host.workspace.notebookDocuments = [];
});

let isChatting: boolean;
let isBusy: boolean;
let isWarm: boolean;
let addedMs: number;
let warmed: unknown[];

function idleWork(): IdleWork {
  [isChatting, isBusy, isWarm, addedMs, warmed] = [false, false, true, 0, []];
  host.window.activeTextEditor = { document: main, selection: { active: new host.Position(1, 0) } };
  return new IdleWork({
    gate: { isOpen: async () => true } as unknown as CompletionGate,
    settings: new CompletionSettings(),
    others,
    requester: { warmUp: () => async () => true, isWarmAt: () => isWarm, addedMs: () => addedMs } as unknown as Requester,
    speed: new MeasuredSpeed(),
    suggestions: { get isBusy() { return isBusy; }, warm: async (run: unknown) => void warmed.push(run) } as unknown as Suggestions,
    isChatting: () => isChatting,
  });
}

test("reading ahead waits for the person, the running request and a chat, and is done once", async () => {
  const idle = idleWork();
  isChatting = true;
  idle.postpone();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(warmed).toEqual([]);
  [isChatting, isBusy] = [false, true];
  await vi.advanceTimersByTimeAsync(10_000);
  expect(warmed).toEqual([]);
  isBusy = false;
  idle.postpone(); // a key
  await vi.advanceTimersByTimeAsync(1000);
  expect(warmed).toEqual([]);
  await vi.advanceTimersByTimeAsync(10_000);
  idle.postpone();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(warmed).toHaveLength(1);
  isWarm = false; // the cursor was put elsewhere
  idle.postpone();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(warmed).toHaveLength(2);
  idle.dispose();
});

test("other files than before are read only when a pause has lasted as long as that will take", async () => {
  const idle = idleWork();
  idle.postpone();
  await vi.advanceTimersByTimeAsync(1300);
  expect(warmed).toHaveLength(1); // the first choice in this file: a request would have to read it anyway
  host.happens.saved.fire(helper);
  await noted();
  addedMs = 8000;
  idle.postpone();
  await vi.advanceTimersByTimeAsync(7900);
  idle.postpone(); // a key
  await vi.advanceTimersByTimeAsync(7900);
  expect(warmed).toHaveLength(1);
  expect(others.of(main.uri.toString())).toEqual([]);
  await vi.advanceTimersByTimeAsync(200);
  expect(warmed).toHaveLength(2);
  expect(others.of(main.uri.toString())).not.toEqual([]);
  idle.dispose();
});
