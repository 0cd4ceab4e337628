/** The setting, and the secrets that never go into it. */
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

test("with nothing set, no server is asked", async () => {
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

test("a key goes before credentials in the address; without it they are sent", async () => {
  host.configured.user = "https://me:pass@box";
  expect(await authorizations()).toEqual([["", "https://box", `Basic ${btoa("me:pass")}`]]);
  await settings.setApiKey(endpoint("https://box"), "SECRET");
  expect(await authorizations()).toEqual([["", "https://box", "Bearer SECRET"]]);
});

test("an empty key forgets the key", async () => {
  await settings.setApiKey(endpoint("http://one:1"), "SECRET");
  expect([...secrets.kept.values()]).toEqual(["SECRET"]);
  await settings.setApiKey(endpoint("http://one:1"), "  ");
  expect([...secrets.kept.keys()]).toEqual([]);
});

test("Hugging Face's token adds its router, and goes to no other server", async () => {
  host.configured.user = "http://one:1";
  await settings.setHuggingFaceToken("hf_SECRET");
  expect(await authorizations()).toEqual([
    ["", "http://one:1", undefined],
    ["hf/", "https://router.huggingface.co", "Bearer hf_SECRET"],
  ]);
  await settings.setHuggingFaceToken("");
  expect(await authorizations()).toEqual([["", "http://one:1", undefined]]);
});

test("a desktop with no keyring still reaches an endpoint that needs no key", async () => {
  host.configured.user = "http://one:1";
  secrets.broken = true;
  expect(await authorizations()).toEqual([["", "http://one:1", undefined]]);
  expect(log.lines[0]).toMatch(/^warn secret storage cannot be read/);
});

test.each(["http://me:50%SECRET@host", "ftp://me:SECRET@host", "http://SECRET host"])(
  "%s is no endpoint, and the log says so without its words",
  async (text) => {
    host.configured.user = text;
    expect(await settings.sources()).toEqual([]);
    expect(settings.problem()).toMatch(/^(Write a %|ftp: is not|An address has no spaces)/);
    expect(log.lines.join()).toMatch(/^error huggingface.customTGIEndpoint: /);
    expect(log.lines.join()).not.toContain("SECRET");
  },
);

test.each([7, null, { a: 1 }])("a setting of %j is no text, so it is no endpoint", async (value) => {
  host.configured.user = value;
  expect(await settings.sources()).toEqual([]);
  expect(settings.problem()).toBeUndefined();
});

test("an endpoint is written for the user, and taken away when it is empty", async () => {
  await settings.setEndpoint(" localhost:1 ");
  expect(host.configured).toMatchObject({ user: "http://localhost:1", workspace: undefined });
  await settings.setEndpoint(" ");
  expect(host.configured.user).toBeUndefined();
});

test("where the workspace names the endpoint, it is written there, so that it holds", async () => {
  Object.assign(host.configured, { user: "mine:1", workspace: "projects:1" });
  await settings.setEndpoint("new:1");
  expect(host.configured).toMatchObject({ user: "mine:1", workspace: "http://new:1" });
  expect(settings.endpoint()?.base).toBe("http://new:1");
  await settings.setEndpoint("");
  expect(settings.endpoint()).toBeUndefined();
  expect(host.configured.user).toBe("mine:1");
});

test("what an untrusted workspace names does not hold, so it is not written there", async () => {
  Object.assign(host.configured, { user: "mine:1", workspace: "theirs:1", trusted: false });
  await settings.setEndpoint("new:1");
  expect(host.configured).toMatchObject({ user: "http://new:1", workspace: "theirs:1" });
  expect(settings.isWithheld()).toBe(true);
  host.configured.workspace = " ";
  expect(settings.isWithheld()).toBe(false);
  Object.assign(host.configured, { workspace: "theirs:1", trusted: true });
  expect(settings.isWithheld()).toBe(false);
});

test("what cannot be an endpoint is not written", async () => {
  host.configured.user = "http://one:1";
  await expect(settings.setEndpoint("htp:/wrong url")).rejects.toThrow("no spaces");
  expect(host.configured.user).toBe("http://one:1");
});
