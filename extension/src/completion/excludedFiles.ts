/** Which documents are never sent to a server, and why. */

import * as vscode from "vscode";
import type { CompletionSettings } from "./completionSettings";
import { isIgnored, parseIgnore, type IgnoreFile } from "./gitignore";
import { isSecret } from "./secretFiles";

export type Exclusion = "scheme" | "secret" | "setting" | "gitignore";

/** Documents that a person writes. Output, search results and input boxes are documents too. */
const SCHEMES = [
  "file",
  "untitled",
  "vscode-notebook-cell",
  "vscode-remote",
  "vscode-vfs",
  "vscode-test-web",
  "memfs",
];
export const SELECTOR: vscode.DocumentSelector = SCHEMES.map((scheme) => ({ scheme }));
const MOST_FOLDERS = 40;
const IGNORE_FILE = ".gitignore";
/** A larger one is not written by people. */
const MOST_IGNORE_BYTES = 1_000_000;

export class ExcludedFiles implements vscode.Disposable {
  private verdicts = new Map<string, Promise<Exclusion | undefined>>();
  private ignoreFiles = new Map<string, Promise<string | undefined>>();
  private readonly changed = new vscode.EventEmitter<void>();
  /** A `.gitignore` has changed: what may be sent is another set of files now. */
  readonly onDidChange = this.changed.event;
  private readonly watcher = vscode.workspace.createFileSystemWatcher(`**/${IGNORE_FILE}`);

  constructor(private readonly settings: CompletionSettings) {
    const changed = () => {
      this.forget();
      this.changed.fire();
    };
    this.watcher.onDidChange(changed);
    this.watcher.onDidCreate(changed);
    this.watcher.onDidDelete(changed);
  }

  /** Why the document must not be sent; undefined where it may. Known at once after the first time. */
  of(document: vscode.TextDocument): Promise<Exclusion | undefined> {
    const key = document.uri.toString();
    const known = this.verdicts.get(key);
    if (known) return known;
    const found = this.find(document);
    this.verdicts.set(key, found);
    return found;
  }

  forget(): void {
    this.verdicts.clear();
    this.ignoreFiles.clear();
  }

  dispose(): void {
    this.watcher.dispose();
    this.changed.dispose();
  }

  private async find(document: vscode.TextDocument): Promise<Exclusion | undefined> {
    const { uri } = document;
    if (!SCHEMES.includes(uri.scheme)) return "scheme";
    if (isSecret(uri.path)) return "secret";
    const selectors = this.settings.exclude.map((pattern) => ({ pattern }));
    if (selectors.some((selector) => vscode.languages.match(selector, document) > 0)) return "setting";
    if (uri.scheme === "untitled" || this.settings.gitIgnored) return undefined;
    return (await this.isGitIgnored(uri)) ? "gitignore" : undefined;
  }

  /** Reads every `.gitignore` from the file's folder up to the root of its repository. */
  private async isGitIgnored(uri: vscode.Uri): Promise<boolean> {
    // The file of a notebook's cell is the notebook.
    const path = uri.path;
    const scheme = uri.scheme === "vscode-notebook-cell" ? this.notebookScheme(uri) : uri.scheme;
    const found: { folder: string; text: string }[] = [];
    let folder = parent(path);
    for (let depth = 0; depth < MOST_FOLDERS; depth += 1) {
      const at = uri.with({ scheme, path: folder, fragment: "", query: "" });
      const text = await this.read(vscode.Uri.joinPath(at, IGNORE_FILE));
      if (text !== undefined) found.unshift({ folder, text });
      if (folder === "/" || (await exists(vscode.Uri.joinPath(at, ".git")))) break;
      folder = parent(folder);
    }
    const root = folder === "/" ? "" : folder;
    const files: IgnoreFile[] = found.map((each) => ({
      folder: each.folder.slice(root.length + 1),
      rules: parseIgnore(each.text),
    }));
    return isIgnored(path.slice(root.length + 1), files);
  }

  private notebookScheme(cell: vscode.Uri): string {
    const all = vscode.workspace.notebookDocuments;
    return all.find(({ uri }) => uri.path === cell.path)?.uri.scheme ?? "file";
  }

  private read(uri: vscode.Uri): Promise<string | undefined> {
    const key = uri.toString();
    const known = this.ignoreFiles.get(key);
    if (known) return known;
    const text = readText(uri);
    this.ignoreFiles.set(key, text);
    return text;
  }
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

async function readText(uri: vscode.Uri): Promise<string | undefined> {
  try {
    const { size } = await vscode.workspace.fs.stat(uri);
    if (size > MOST_IGNORE_BYTES) return undefined;
    return new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
  } catch {
    return undefined;
  }
}

async function exists(uri: vscode.Uri): Promise<boolean> {
  return vscode.workspace.fs.stat(uri).then(
    () => true,
    () => false,
  );
}
