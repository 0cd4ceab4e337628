/** Which documents are never sent. */
import { beforeEach, describe, expect, test } from "vitest";
import type * as vscode from "vscode";
import { CompletionSettings } from "../../src/completion/completionSettings";
import { ExcludedFiles } from "../../src/completion/excludedFiles";
import { isSecret } from "../../src/completion/secretFiles";
import * as host from "../support/fakeVscode";

describe("names of secrets", () => {
  test.each([
    "/a/.env", "/a/.env.local", "/a/.envrc", "/a/production.env", "/a/server.pem", "/a/tls.KEY", "/home/me/.ssh/config",
    "/a/id_rsa", "/a/id_ed25519_work", "/a/keystore.jks", "/a/.npmrc", "/a/.pypirc", "/a/.netrc", "/a/credentials",
    "/home/me/.aws/config", "/a/credentials.json", "/a/secrets.yaml", "/a/my-service-account-1.json",
    "/a/terraform.tfvars", "/a/prod.tfstate", "/a/passwords.kdbx", "/a/kubeconfig", "/a/config/master.key",
  ])("%s", (path) => expect(isSecret(path)).toBe(true));

  test.each([
    "/a/main.py", "/a/.env.example", "/a/environment.ts", "/a/keys.py", "/a/id_rsa_reader.go", "/a/secrets.py",
    "/a/credentials.ts", "/a/public.html", "/a/pem.rs", "/a/monkey", "/a/package.json", "/.envoy/a.py",
  ])("not %s", (path) => expect(isSecret(path)).toBe(false));
});

describe("a document", () => {
  let excluded: ExcludedFiles;
  const of = (uri: string) => excluded.of(host.fakeDocument(uri, "") as unknown as vscode.TextDocument);

  beforeEach(() => {
    host.openWindow();
    excluded = new ExcludedFiles(new CompletionSettings());
    host.disk.set("/repo/.git/HEAD", "");
    host.disk.set("/repo/.gitignore", "build/\n");
    host.disk.set("/.gitignore", "*.py\n");
  });

  test.each([
    ["file:///repo/a.py", undefined],
    ["file:///repo/build/a.py", "gitignore"],
    ["file:///repo/packages/build/a.py", "gitignore"],
    ["vscode-notebook-cell:/repo/build/a.ipynb", "gitignore"],
    ["file:///repo/.env", "secret"],
    ["vscode-notebook-cell:/repo/.ssh/a.ipynb", "secret"],
    ["untitled:Untitled-1", undefined],
    ["output:extension-output", "scheme"],
    ["stoker-completion:/x.txt", "scheme"],
    ["vscode-scm:git/input", "scheme"],
  ])("%s: %s", async (uri, exclusion) => {
    expect(await of(uri)).toBe(exclusion);
  });

  test("that the user's settings name", async () => {
    host.editorSettings.set("stoker.completion.exclude", { default: ["**/*.md", 7, ""] });
    expect(await of("file:///repo/a.md")).toBe("setting");
    expect(await of("file:///repo/a.py")).toBeUndefined();
  });

  test("that Git ignores is sent where the user wants that, a secret never", async () => {
    host.editorSettings.set("stoker.completion.gitIgnored", { default: false, user: true });
    host.disk.set("/repo/.gitignore", "build/\n.env\n");
    expect(await of("file:///repo/build/a.py")).toBeUndefined();
    expect(await of("file:///repo/.env")).toBe("secret");
  });

  test("is looked at again when .gitignore changes", async () => {
    expect(await of("file:///repo/a.py")).toBeUndefined();
    host.workspace.writes("/repo/.gitignore", "a.py");
    expect(await of("file:///repo/a.py")).toBe("gitignore");
  });
});
