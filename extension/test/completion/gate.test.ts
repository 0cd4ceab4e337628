/** Where suggestions are off, and how a person learns why. */
import { beforeEach, describe, expect, test, vi } from "vitest";
import type * as vscode from "vscode";
import { HttpError } from "../../src/api/apiClient";
import { CompletionGate, type Off } from "../../src/completion/completionGate";
import { CompletionSettings } from "../../src/completion/completionSettings";
import { completionStatus, type CompletionFacts } from "../../src/completion/completionStatus";
import type { Exclusion } from "../../src/completion/excludedFiles";
import { CopilotCompletion } from "../../src/completion/copilotCompletion";
import { Snooze } from "../../src/completion/snooze";
import * as host from "../support/fakeVscode";

const source = { prefix: "", label: "box:1", server: { base: "http://box:1", headers: {} } };
const document = host.fakeDocument("file:///a.py", "") as unknown as vscode.TextDocument;

beforeEach(() => host.openWindow());

describe("the gate", () => {
  let served: boolean;
  let snooze: Snooze;
  let copilot: CopilotCompletion;
  let settings: CompletionSettings;
  let gate: CompletionGate;
  let excluded: Exclusion | undefined;

  beforeEach(() => {
    served = true;
    excluded = undefined;
    snooze = new Snooze();
    copilot = new CopilotCompletion();
    settings = new CompletionSettings();
    const model = () => (served ? { id: "coder", source } : undefined);
    gate = new CompletionGate({ settings, snooze, copilot, model, excluded: { of: async () => excluded } });
  });

  const signIn = async () => {
    host.installedExtensions.add("GitHub.copilot-chat");
    host.authentication.signs("me");
    await new Promise((resolve) => setTimeout(resolve));
  };

  test("is open where the endpoint has a model for it, without any setting", async () => {
    expect(await gate.off(document)).toBeUndefined();
    served = false;
    expect(await gate.off(document)).toBe("noModel");
  });

  test("without a completion model it is open to next edits, but not in a file that is never sent", async () => {
    served = false;
    expect(await gate.withoutModel(document)).toBeUndefined();
    excluded = "secret";
    expect(await gate.off(document)).toBe("noModel");
    expect(await gate.withoutModel(document)).toBe("secret");
    snooze.set(5);
    expect(await gate.withoutModel(document)).toBe("snoozed");
  });

  test("is closed by the setting", async () => {
    host.editorSettings.set("stoker.completion.enabled", { default: true, user: false });
    expect(await gate.off(document)).toBe("disabled");
  });

  test("is closed while snoozing, and opens by itself", async () => {
    vi.useFakeTimers();
    snooze.set(5);
    expect(await gate.off(document)).toBe("snoozed");
    vi.advanceTimersByTime(5 * 60_000);
    expect(await gate.off(document)).toBeUndefined();
    vi.useRealTimers();
  });

  test("snoozing is chosen from a list, which then offers to end it", async () => {
    host.screen.choosesItem = "15 minutes";
    await snooze.choose();
    expect(snooze.until).toBeGreaterThan(Date.now() + 14 * 60_000);
    host.screen.choosesItem = "Resume now";
    await snooze.choose();
    expect(snooze.until).toBeUndefined();
  });

  test("leaves a file to Copilot where someone is signed in to it", async () => {
    await signIn();
    expect(await gate.off(document)).toBe("copilot");
    host.editorSettings.set("stoker.completion.besideCopilot", { default: false, user: true });
    expect(await gate.off(document)).toBeUndefined();
  });

  test.each([
    ["off everywhere", { "*": false }, undefined],
    ["off in this language", { "*": true, python: false }, undefined],
    ["on in this language only", { "*": false, python: true }, "copilot"],
  ])("where Copilot's own setting is %s", async (_, enable, off) => {
    host.editorSettings.set("github.copilot.enable", { default: enable });
    await signIn();
    expect(await gate.off(document)).toBe(off);
  });
});

describe("the status bar", () => {
  const FACTS: CompletionFacts = {
    off: undefined,
    error: undefined,
    model: { id: "coder", where: "box:1" },
    named: undefined,
    snoozedUntil: undefined,
    latencyMs: undefined,
  };
  const status = (facts: Partial<CompletionFacts>) => completionStatus({ ...FACTS, ...facts });

  test("names the model and how long it takes", () => {
    expect(status({})).toEqual({ text: "Completion: coder", isProblem: false });
    expect(status({ latencyMs: 240.4 })?.text).toBe("Completion: coder, 240 ms");
  });

  test("says nothing where no model completes and none was named", () => {
    expect(status({ off: "noModel", model: undefined })).toBeUndefined();
    expect(status({ off: "noModel", model: undefined, named: "other" })).toMatchObject({
      text: expect.stringContaining("has no model other"),
      isProblem: true,
    });
  });

  test.each<[Off, RegExp]>([
    ["disabled", /stoker.completion.enabled/],
    ["snoozed", /snoozed until/],
    ["copilot", /besideCopilot/],
    ["secret", /holds secrets/],
    ["setting", /stoker.completion.exclude/],
    ["gitignore", /\.gitignore/],
    ["scheme", /not a file/],
  ])("says why it is off: %s", (off, words) => {
    expect(status({ off })).toEqual({ text: expect.stringMatching(words), isProblem: false });
  });

  test.each([
    [new HttpError(500, "the prompt was SECRET"), "Completion failed: box:1 answered HTTP 500. Check its log."],
    [new HttpError(429, ""), "Completion waits: box:1 is busy (HTTP 429)."],
    [new Error("ECONNREFUSED"), "Completion failed: box:1 did not answer (ECONNREFUSED)."],
  ])("says why it failed", (error, text) => {
    expect(status({ error })).toEqual({ text, isProblem: true });
  });
});
