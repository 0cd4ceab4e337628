/** The endpoint setting, and the keys that belong into secret storage. */
import { beforeEach, expect, test } from "vitest";
import type * as vscode from "vscode";
import { parseEndpoint } from "../../src/servers/endpoint";
import { Settings } from "../../src/servers/settings";
import * as host from "../support/fakeVscode";

let log = host.fakeLog();
let secrets = host.fakeSecrets();
let settings: Settings;

beforeEach(() => {
  host.openWindow();
  log = host.fakeLog();
  secrets = host.fakeSecrets();
  settings = new Settings(
    secrets as unknown as vscode.SecretStorage,
    log as unknown as vscode.LogOutputChannel,
  );
});

const endpoint = (text: string) => parseEndpoint(text)!;
const authorizations = async () =>
  (await settings.sources()).map(({ prefix, server }) => [prefix, server.base, server.headers["Authorization"]]);

test("without a setting, no server is asked", async () => {
  expect(await settings.sources()).toEqual([]);
  expect(settings.problem()).toBeUndefined();
});

test("a key is sent to its own endpoint and never to another", async () => {
  host.configured.user = "http://one:1/v1";
  await settings.setApiKey(endpoint("http://one:1"), "  SECRET \n");
  expect(await authorizations()).toEqual([["", "http://one:1", "Bearer SECRET"]]);
  host.configured.user = "http://two:1";
  expect(await authorizations()).toEqual([["", "http://two:1", undefined]]);
  host.configured.user = "http://one:2";
  expect(await authorizations()).toEqual([["", "http://one:2", undefined]]);
});

test("a key takes precedence over credentials in the address", async () => {
  host.configured.user = "https://me:pass@box";
  expect(await authorizations()).toEqual([["", "https://box", `Basic ${btoa("me:pass")}`]]);
  await settings.setApiKey(endpoint("https://box"), "SECRET");
  expect(await authorizations()).toEqual([["", "https://box", "Bearer SECRET"]]);
});

test("an empty key removes the key", async () => {
  await settings.setApiKey(endpoint("http://one:1"), "SECRET");
  expect([...secrets.kept.values()]).toEqual(["SECRET"]);
  await settings.setApiKey(endpoint("http://one:1"), "  ");
  expect([...secrets.kept.keys()]).toEqual([]);
});

test("the Hugging Face token adds its router, and is sent to no other server", async () => {
  host.configured.user = "http://one:1";
  await settings.setHuggingFaceToken("hf_SECRET");
  expect(await authorizations()).toEqual([
    ["", "http://one:1", undefined],
    ["hf/", "https://router.huggingface.co", "Bearer hf_SECRET"],
  ]);
  await settings.setHuggingFaceToken("");
  expect(await authorizations()).toEqual([["", "http://one:1", undefined]]);
});

test("a desktop without a keyring still reaches an endpoint that needs no key", async () => {
  host.configured.user = "http://one:1";
  secrets.broken = true;
  expect(await authorizations()).toEqual([["", "http://one:1", undefined]]);
  expect(log.lines[0]).toMatch(/^warn cannot read secret storage/);
});

test.each(["http://me:50%SECRET@host", "ftp://me:SECRET@host", "http://SECRET host"])(
  "%s is no endpoint, and the log does not quote it",
  async (text) => {
    host.configured.user = text;
    expect(await settings.sources()).toEqual([]);
    expect(settings.problem()).toMatch(/^(Write %|The address must start with|An address cannot contain spaces)/);
    expect(log.lines.join()).toMatch(/^error huggingface.customTGIEndpoint: /);
    expect(log.lines.join()).not.toContain("SECRET");
  },
);

test.each([7, null, { a: 1 }])("a setting of %j is not a string, and so no endpoint", async (value) => {
  host.configured.user = value;
  expect(await settings.sources()).toEqual([]);
  expect(settings.problem()).toBeUndefined();
});

test("an endpoint is written to the user settings, and removed when it is empty", async () => {
  await settings.setEndpoint(" localhost:1 ");
  expect(host.configured).toMatchObject({ user: "http://localhost:1", workspace: undefined });
  await settings.setEndpoint(" ");
  expect(host.configured.user).toBeUndefined();
});

test("where the workspace names the endpoint, it is written there, so that it takes effect", async () => {
  Object.assign(host.configured, { user: "mine:1", workspace: "projects:1" });
  await settings.setEndpoint("new:1");
  expect(host.configured).toMatchObject({ user: "mine:1", workspace: "http://new:1" });
  expect(settings.endpoint()?.base).toBe("http://new:1");
  await settings.setEndpoint("");
  expect(settings.endpoint()).toBeUndefined();
  expect(host.configured.user).toBe("mine:1");
});

test("an untrusted workspace's endpoint has no effect, so it is not written there", async () => {
  Object.assign(host.configured, { user: "mine:1", workspace: "theirs:1", trusted: false });
  await settings.setEndpoint("new:1");
  expect(host.configured).toMatchObject({ user: "http://new:1", workspace: "theirs:1" });
  expect(settings.isWithheld()).toBe(true);
  host.configured.workspace = " ";
  expect(settings.isWithheld()).toBe(false);
  Object.assign(host.configured, { workspace: "theirs:1", trusted: true });
  expect(settings.isWithheld()).toBe(false);
});

test("an invalid endpoint is not written", async () => {
  host.configured.user = "http://one:1";
  await expect(settings.setEndpoint("htp:/wrong url")).rejects.toThrow("cannot contain spaces");
  expect(host.configured.user).toBe("http://one:1");
});
