/** The settings that let chat work without signing in: offered once, written on a click, restored. */
import { beforeEach, describe, expect, test } from "vitest";
import type * as vscode from "vscode";
import { SignedOutSettings } from "../../src/ui/signedOutSettings";
import * as host from "../support/fakeVscode";

let log = host.fakeLog();
let state = host.fakeState();
let signedOut: SignedOutSettings;

const ANONYMOUS = "chat.allowAnonymousAccess";
const UTILITY = "chat.byokUtilityModelDefault";
const BRIDGE = "chat.agentHost.byokModels.enabled";
const USABLE = "chat.agentHost.allowSignedOutWhenUsable";
const ALLOW = "Let Chat Work Without Signing In";

/** A window of VS Code 1.139 as it is installed. */
beforeEach(() => {
  host.openWindow();
  host.editorSettings.set(ANONYMOUS, { default: false });
  host.editorSettings.set(UTILITY, { default: "copilot" });
  host.editorSettings.set(BRIDGE, { default: false });
  host.editorSettings.set(USABLE, { default: false });
  log = host.fakeLog();
  state = host.fakeState();
  signedOut = new SignedOutSettings(state, log as unknown as vscode.LogOutputChannel);
});

const user = (...keys: string[]) => keys.map((key) => host.editorSettings.get(key)?.user);
const messages = () => host.screen.messages.filter((message) => !message.startsWith("button"));

describe("the offer", () => {
  test("names the settings, and writes nothing until its button is clicked", async () => {
    await signedOut.offer();
    expect(host.screen.messages).toEqual([
      expect.stringContaining(`These user settings remove the requirement: ${ANONYMOUS}: true, ${UTILITY}: mainAgent`),
      `button: ${ALLOW}`,
    ]);
    expect(user(ANONYMOUS, UTILITY)).toEqual([undefined, undefined]);
  });

  test("is made once for all windows", async () => {
    await signedOut.offer();
    await new SignedOutSettings(state, log as unknown as vscode.LogOutputChannel).offer();
    expect(messages()).toHaveLength(1);
  });

  test("names only what is missing", async () => {
    host.editorSettings.get(ANONYMOUS)!.user = true;
    await signedOut.offer();
    expect(messages()[0]).toMatch(/requirement: chat\.byokUtilityModelDefault: mainAgent$/);
  });

  test("waits until the folder is trusted", async () => {
    host.configured.trusted = false;
    await signedOut.offer();
    expect(host.screen.messages).toEqual([]);
    host.configured.trusted = true;
    await signedOut.offer();
    expect(messages()).toHaveLength(1);
  });

  test("is not made to a user who is signed in or has the settings, or in an editor without them", async () => {
    host.accounts.github = [{ label: "me" }];
    await signedOut.offer();
    host.accounts.github = undefined;
    Object.assign(host.editorSettings.get(ANONYMOUS)!, { user: true });
    Object.assign(host.editorSettings.get(UTILITY)!, { policy: "mainAgent" });
    await signedOut.offer();
    host.editorSettings.get(UTILITY)!.policy = undefined;
    host.editorSettings.get(ANONYMOUS)!.user = false;
    host.editorSettings.delete(UTILITY);
    await signedOut.offer();
    expect(host.screen.messages).toEqual([]);
  });

  test("is made where the editor has no GitHub sign-in", async () => {
    host.accounts.github = undefined;
    await signedOut.offer();
    expect(messages()).toHaveLength(1);
  });
});

describe("allowing", () => {
  test("writes the settings for the user, and offers a reload", async () => {
    host.screen.choosesButton = ALLOW;
    await signedOut.offer();
    expect(user(ANONYMOUS, UTILITY, BRIDGE, USABLE)).toEqual([true, "mainAgent", undefined, undefined]);
    expect(messages().at(-1)).toMatch(
      /^information: Chat now works without signing in: chat.allowAnonymousAccess, chat.byokUtilityModelDefault\. If .*reload/,
    );
    expect(host.executed).toEqual([]);
    host.screen.choosesButton = "Reload Window";
    host.editorSettings.get(ANONYMOUS)!.user = undefined;
    await signedOut.allow();
    expect(host.executed).toEqual(["workbench.action.reloadWindow"]);
  });

  test("asks separately about the Copilot harness", async () => {
    host.screen.choosesButton = "Allow There Too";
    await signedOut.allow();
    expect(user(ANONYMOUS, UTILITY, BRIDGE, USABLE)).toEqual([true, "mainAgent", true, true]);
    expect(host.screen.messages).toContain("button: Not Now");
    await signedOut.allow();
    expect(messages().at(-1)).toBe("information: Nothing to change: chat already works without signing in.");
  });

  test.each([{ remoteName: "ssh-remote" }, { uiKind: host.UIKind.Web }])(
    "does not mention the harness in a window that cannot use it: %o",
    async (where) => {
      Object.assign(host.env, where);
      await signedOut.allow();
      expect(host.screen.messages.join()).not.toContain("harness");
    },
  );

  test("reports a setting that cannot be written, and continues", async () => {
    host.configured.refuses = "EROFS: read-only file system";
    host.editorSettings.delete(BRIDGE);
    host.editorSettings.delete(USABLE);
    await signedOut.allow();
    expect(messages()).toEqual([
      `error: Could not write ${ANONYMOUS} to your settings: EROFS: read-only file system`,
      `error: Could not write ${UTILITY} to your settings: EROFS: read-only file system`,
    ]);
    expect(state.kept.has("chatSettings.before")).toBe(false);
  });

  test("warns where a policy overrides what was written", async () => {
    host.editorSettings.get(ANONYMOUS)!.policy = false;
    host.screen.choosesButton = "Not Now";
    await signedOut.allow();
    expect(messages()).toContainEqual(expect.stringMatching(/^warning: chat.allowAnonymousAccess .* policy/));
    expect(messages().at(-1)).toBe(`information: Written to your user settings: ${UTILITY}`);
  });

  test("reports an editor without such settings", async () => {
    host.editorSettings.delete(UTILITY);
    await signedOut.allow();
    expect(messages()).toEqual([expect.stringContaining("has no settings for chat without a sign-in")]);
    expect(user(ANONYMOUS)).toEqual([undefined]);
  });
});

describe("undoing", () => {
  test("restores the earlier values", async () => {
    host.editorSettings.get(UTILITY)!.user = "none";
    await signedOut.allow();
    await signedOut.allow();
    await signedOut.undo();
    expect(user(ANONYMOUS, UTILITY)).toEqual([undefined, "none"]);
    expect(messages().at(-1)).toBe(`information: Your earlier settings are restored: ${ANONYMOUS}, ${UTILITY}`);
    await signedOut.undo();
    expect(messages().at(-1)).toContain("nothing to undo");
  });

  test("keeps what was changed since, and what Stoker never wrote", async () => {
    host.editorSettings.get(ANONYMOUS)!.user = true;
    await signedOut.allow();
    host.editorSettings.get(UTILITY)!.user = "none";
    await signedOut.undo();
    expect(user(ANONYMOUS, UTILITY)).toEqual([true, "none"]);
  });

  test("can be tried again where it failed", async () => {
    await signedOut.allow();
    host.configured.refuses = "locked";
    await signedOut.undo();
    expect(user(ANONYMOUS)).toEqual([true]);
    host.configured.refuses = undefined;
    await signedOut.undo();
    expect(user(ANONYMOUS, UTILITY)).toEqual([undefined, undefined]);
  });
});

test("the log names settings, and no values", async () => {
  await signedOut.allow();
  expect(log.lines).toEqual([`info ${ANONYMOUS}: written`, `info ${UTILITY}: written`]);
});
