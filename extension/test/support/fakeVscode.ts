/** The part of VS Code's API that the extension uses, for unit tests. */

export class LanguageModelTextPart {
  constructor(readonly value: string) {}
}
export class LanguageModelThinkingPart {
  constructor(readonly value: string) {}
}
export class LanguageModelToolCallPart {
  constructor(
    readonly callId: string,
    readonly name: string,
    readonly input: object,
  ) {}
}
export class LanguageModelToolResultPart {
  constructor(
    readonly callId: string,
    readonly content: unknown[],
  ) {}
}
export class LanguageModelPromptTsxPart {
  constructor(readonly value: unknown) {}
}
export class LanguageModelDataPart {
  constructor(
    readonly data: Uint8Array,
    readonly mimeType: string,
  ) {}
}
export enum LanguageModelChatMessageRole {
  User = 1,
  Assistant = 2,
}
export enum LanguageModelChatToolMode {
  Auto = 1,
  Required = 2,
}
export enum LogLevel {
  Off = 0,
  Trace = 1,
  Debug = 2,
  Info = 3,
}
export class CancellationError extends Error {}

export class EventEmitter<T> {
  private readonly listeners = new Set<(value: T) => void>();
  readonly event = (listener: (value: T) => void) => {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  };
  fire(value: T): void {
    for (const listener of this.listeners) listener(value);
  }
  dispose(): void {
    this.listeners.clear();
  }
}

export class CancellationTokenSource {
  private readonly emitter = new EventEmitter<void>();
  readonly token = {
    isCancellationRequested: false,
    onCancellationRequested: this.emitter.event,
  };
  cancel(): void {
    this.token.isCancellationRequested = true;
    this.emitter.fire();
  }
}

export const l10n = {
  t: (text: string, ...values: unknown[]) =>
    text.replace(/\{(\d+)\}/g, (_, place: string) => String(values[Number(place)])),
};

export const lm: { tools: unknown[] } = { tools: [] };

/** Commands that were run, with their arguments; those that are registered, by name. */
export const executed: string[] = [];
export const registered = new Map<string, () => unknown>();
export const commands = {
  executeCommand: async (name: string, ...rest: unknown[]) => {
    executed.push([name, ...rest].join(" "));
  },
  registerCommand: (name: string, run: () => unknown) => {
    registered.set(name, run);
    return { dispose: () => registered.delete(name) };
  },
};

/** A log that keeps its lines. */
export function fakeLog() {
  const lines: string[] = [];
  const at =
    (level: string) =>
    (...parts: unknown[]) => {
      lines.push(`${level} ${parts.join(" ")}`);
    };
  return {
    lines,
    logLevel: LogLevel.Info,
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    show: () => lines.push("shown"),
    warn: at("warn"),
    error: at("error"),
  };
}

export const version = "1.139.0";
export const env = {
  appName: "Test Code",
  appHost: "desktop",
  language: "en",
  remoteName: undefined as string | undefined,
  uiKind: 1,
  clipboard: {
    text: "",
    writeText: async (text: string) => {
      env.clipboard.text = text;
    },
  },
};

export class Disposable {
  constructor(private readonly undo: () => void) {}
  static from(...parts: { dispose(): unknown }[]): Disposable {
    return new Disposable(() => parts.forEach((part) => part.dispose()));
  }
  dispose(): void {
    this.undo();
  }
}

export class MarkdownString {
  constructor(readonly value: string) {}
}
export class ThemeColor {
  constructor(readonly id: string) {}
}
export enum StatusBarAlignment {
  Left = 1,
  Right = 2,
}
export enum QuickPickItemKind {
  Separator = -1,
  Default = 0,
}
export enum ProgressLocation {
  Notification = 15,
}
export enum ConfigurationTarget {
  Global = 1,
  Workspace = 2,
}
export enum UIKind {
  Desktop = 1,
  Web = 2,
}
export enum TaskScope {
  Global = 1,
  Workspace = 2,
}
export class ShellExecution {
  constructor(
    readonly command: string,
    readonly args: string[],
  ) {}
}
export class Task {
  constructor(
    readonly definition: { type: string },
    readonly scope: TaskScope,
    readonly name: string,
    readonly source: string,
    readonly execution: ShellExecution,
  ) {}
}

/** The endpoint setting by settings file; the workspace's value overrides the user's. */
export const configured: { user?: unknown; workspace?: unknown; trusted: boolean; refuses?: string | undefined } = {
  trusted: true,
};
/** VS Code's own settings with their defaults; `policy` overrides all. */
interface EditorSetting {
  readonly default: unknown;
  user?: unknown;
  policy?: unknown;
}
export const editorSettings = new Map<string, EditorSetting>();

/** The files that exist, by path. */
export const disk = new Map<string, string>();

export class Uri {
  private constructor(
    readonly scheme: string,
    readonly path: string,
  ) {}
  static parse(text: string): Uri {
    const [, scheme = "", path = ""] = /^([\w-]+):(?:\/\/)?(.*)$/.exec(text) ?? [];
    return new Uri(scheme, path);
  }
  static joinPath(base: Uri, name: string): Uri {
    return new Uri(base.scheme, `${base.path.replace(/\/$/, "")}/${name}`);
  }
  with({ scheme, path }: { scheme?: string; path?: string }): Uri {
    return new Uri(scheme ?? this.scheme, path ?? this.path);
  }
  toString(): string {
    return `${this.scheme}:${this.path}`;
  }
}
export class Position {
  constructor(
    readonly line: number,
    readonly character: number,
  ) {}
}
export class Range {
  constructor(
    readonly start: Position,
    readonly end: Position,
  ) {}
}
export class InlineCompletionItem {
  constructor(
    readonly insertText: string,
    readonly range: Range,
    readonly command: { command: string; arguments: unknown[] },
  ) {}
}
export enum InlineCompletionTriggerKind {
  Invoke = 0,
  Automatic = 1,
}
export enum NotebookCellKind {
  Markup = 1,
  Code = 2,
}

/** A document of the editor with this text. */
export function fakeDocument(uri: string, text: string, languageId = "python") {
  const lines = text.split("\n");
  return {
    uri: Uri.parse(uri),
    languageId,
    isClosed: false,
    lineCount: lines.length,
    lineAt: (line: number) => ({ text: lines[line] ?? "", range: {} }),
    getText: () => text,
    offsetAt: () => text.length,
  };
}

/** Events of documents and editors, which a test fires. */
export const happens = {
  activeEditor: new EventEmitter<unknown>(),
  saved: new EventEmitter<unknown>(),
  changed: new EventEmitter<unknown>(),
  deleted: new EventEmitter<{ files: Uri[] }>(),
  copied: (_document: unknown, _ranges: readonly Range[]): void => {},
};

export const languages = {
  registerDocumentPasteEditProvider: (_: unknown, provider: { prepareDocumentPaste: typeof happens.copied }) => {
    happens.copied = provider.prepareDocumentPaste;
    return { dispose: () => {} };
  },
  /** Knows only patterns of an extension: `**` and `/*.md`. */
  match: ({ pattern }: { pattern: string }, { uri }: { uri: Uri }) =>
    uri.path.endsWith(pattern.replace("**/*", "")) ? 10 : 0,
};
/** Ids of extensions that are installed. */
export const installedExtensions = new Set<string>();
export const extensions = {
  getExtension: (id: string) => (installedExtensions.has(id) ? { id } : undefined),
};

const trustGranted = new EventEmitter<void>();
const ignoreFileChanges = new EventEmitter<void>();
export const workspace = {
  notebookDocuments: [] as unknown[],
  onDidSaveTextDocument: happens.saved.event,
  onDidChangeTextDocument: happens.changed.event,
  onDidDeleteFiles: happens.deleted.event,
  getWorkspaceFolder: () => undefined,
  registerTextDocumentContentProvider: () => ({ dispose: () => {} }),
  createFileSystemWatcher: () => {
    const { event } = ignoreFileChanges;
    return { onDidChange: event, onDidCreate: event, onDidDelete: event, dispose: () => {} };
  },
  /** A file changes on disk, and VS Code tells whoever watches it. */
  writes: (path: string, text: string) => {
    disk.set(path, text);
    ignoreFileChanges.fire();
  },
  fs: {
    stat: async ({ path }: Uri) => {
      const found = [...disk.keys()].find((each) => each === path || each.startsWith(`${path}/`));
      if (found === undefined) throw new Error("no such file");
      return { size: disk.get(path)?.length ?? 0 };
    },
    readFile: async ({ path }: Uri) => new TextEncoder().encode(disk.get(path)),
  },
  get isTrusted() {
    return configured.trusted;
  },
  onDidGrantWorkspaceTrust: trustGranted.event,
  trust: () => {
    configured.trusted = true;
    trustGranted.fire();
  },
  getConfiguration: (section?: string) => {
    if (section === undefined) return editorConfiguration;
    return section === "huggingface" ? endpointSetting : sectionOf(section);
  },
};
const refuse = () => {
  if (configured.refuses) throw new Error(configured.refuses);
};
const endpointSetting = {
  get: () => (configured.trusted ? configured.workspace : undefined) ?? configured.user ?? "",
  inspect: () => ({ globalValue: configured.user, workspaceValue: configured.workspace }),
  update: async (_: string, value: unknown, target: ConfigurationTarget) => {
    refuse();
    configured[target === ConfigurationTarget.Global ? "user" : "workspace"] = value;
  },
};
/** Settings below a name, such as `stoker.completion`. */
const sectionOf = (section: string) => ({
  get: (name: string) => editorConfiguration.get(`${section}.${name}`),
});
const editorConfiguration = {
  get: (key: string) => {
    const setting = editorSettings.get(key);
    return setting?.policy ?? setting?.user ?? setting?.default;
  },
  // As in VS Code, where a policy's value takes the place of the default.
  inspect: (key: string) => {
    const setting = editorSettings.get(key);
    return { key, defaultValue: setting?.policy ?? setting?.default, globalValue: setting?.user };
  },
  update: async (key: string, value: unknown, target: ConfigurationTarget) => {
    refuse();
    const setting = editorSettings.get(key);
    if (!setting) throw new Error(`unknown setting ${key}`);
    if (target !== ConfigurationTarget.Global) throw new Error("not the user's settings");
    setting.user = value;
  },
};

/** Accounts that are signed in; undefined where the editor has no GitHub sign-in. */
export const accounts: { github: { label: string }[] | undefined } = { github: [] };
const sessionChanges = new EventEmitter<void>();
export const authentication = {
  onDidChangeSessions: sessionChanges.event,
  /** Someone signs in, or out where there is no label. */
  signs: (label?: string) => {
    accounts.github = label === undefined ? [] : [{ label }];
    sessionChanges.fire();
  },
  getAccounts: async (provider: string) => {
    if (provider !== "github" || !accounts.github) throw new Error("no such provider");
    return accounts.github;
  },
};

export interface InputBox {
  title: string;
  prompt: string;
  value?: string;
  password?: boolean;
  validateInput?: (text: string) => string | undefined;
}

/** What was shown to the user, and what the user does. */
export const screen = {
  messages: [] as string[],
  inputs: [] as InputBox[],
  picks: [] as { items: { label: string; detail?: string; command?: string }[]; placeHolder: string }[],
  progress: [] as string[],
  items: [] as ReturnType<typeof window.createStatusBarItem>[],
  types: undefined as string | undefined | ((box: InputBox) => string | undefined),
  choosesButton: undefined as string | undefined,
  choosesItem: undefined as string | undefined,
};
const message = (level: string) => async (text: string, ...buttons: string[]) => {
  screen.messages.push(`${level}: ${text}`, ...buttons.map((button) => `button: ${button}`));
  return buttons.find((button) => button === screen.choosesButton);
};
export const window = {
  visibleTextEditors: [] as unknown[],
  activeTextEditor: undefined as unknown,
  onDidChangeActiveTextEditor: happens.activeEditor.event,
  showInformationMessage: message("information"),
  showWarningMessage: message("warning"),
  showErrorMessage: message("error"),
  showInputBox: async (box: InputBox) => {
    screen.inputs.push(box);
    return typeof screen.types === "function" ? screen.types(box) : screen.types;
  },
  showQuickPick: async (
    items: { label: string; detail?: string; command?: string }[],
    { placeHolder }: { placeHolder: string },
  ) => {
    screen.picks.push({ items, placeHolder });
    return items.find(({ label }) => screen.choosesItem && label.endsWith(screen.choosesItem));
  },
  withProgress: async (options: { title: string }, run: () => Promise<unknown>) => {
    screen.progress.push(options.title);
    return run();
  },
  createStatusBarItem: () => {
    const item = {
      name: "",
      command: "",
      text: "",
      tooltip: "" as string | MarkdownString,
      accessibilityInformation: { label: "", role: "" },
      backgroundColor: undefined as ThemeColor | undefined,
      visible: false,
      show: () => {
        item.visible = true;
      },
      dispose: () => {
        item.visible = false;
      },
    };
    screen.items.push(item);
    return item;
  },
};

const taskEnds = new EventEmitter<{ execution: { task: Task }; exitCode: number | undefined }>();
export const tasks = {
  run: [] as Task[],
  executeTask: async (task: Task) => {
    tasks.run.push(task);
    return { task };
  },
  onDidEndTaskProcess: taskEnds.event,
  end: (task: Task, exitCode: number | undefined) => taskEnds.fire({ execution: { task }, exitCode }),
};

/** Secret storage; `broken` is a desktop without a keyring. */
export function fakeSecrets() {
  const kept = new Map<string, string>();
  const secrets = {
    kept,
    broken: false,
    get: async (name: string) => {
      if (secrets.broken) throw new Error("no keyring");
      return kept.get(name);
    },
    store: async (name: string, value: string) => void kept.set(name, value),
    delete: async (name: string) => void kept.delete(name),
  };
  return secrets;
}

/** What an extension stores from window to window; `broken` is a full disk. */
export function fakeState() {
  const kept = new Map<string, string>();
  const state = {
    kept,
    broken: false,
    // As a real one: what comes back is a copy.
    get: <T>(key: string): T | undefined => {
      const value = kept.get(key);
      return value === undefined ? undefined : (JSON.parse(value) as T);
    },
    update: async (key: string, value: unknown): Promise<void> => {
      if (state.broken) throw new Error("no space left");
      if (value === undefined) kept.delete(key);
      else kept.set(key, JSON.stringify(value));
    },
  };
  return state;
}

/** Resets everything to a window that has just been opened. */
export function openWindow(): void {
  Object.assign(screen, { messages: [], inputs: [], picks: [], progress: [], items: [] });
  Object.assign(screen, { types: undefined, choosesButton: undefined, choosesItem: undefined });
  Object.assign(configured, { user: undefined, workspace: undefined, trusted: true, refuses: undefined });
  editorSettings.clear();
  disk.clear();
  installedExtensions.clear();
  Object.assign(env, { remoteName: undefined, uiKind: UIKind.Desktop });
  accounts.github = [];
  executed.length = 0;
  tasks.run.length = 0;
  env.clipboard.text = "";
  lm.tools = [];
}
