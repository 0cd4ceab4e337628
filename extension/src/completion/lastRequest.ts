/** What was last sent, shown on demand. It is held in memory only, and never logged. */

import * as vscode from "vscode";
import type { CompletionBody, TextBody } from "./completionCall";

const SCHEME = "stoker-completion";
const URI = `${SCHEME}:/`;

/** A next edit's request has no more than a prompt. */
type Body = TextBody & Partial<CompletionBody>;

export interface Sent {
  readonly body: Body;
  /** The server's address without credentials. */
  readonly to: string;
  readonly at: Date;
  answer: string;
  /** From the request to its end. */
  tookMs?: number;
}

export class LastRequest implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private last: Sent | undefined;
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);

  sent(body: Body, to: string): Sent {
    this.last = { body, to, at: new Date(), answer: "" };
    return this.last;
  }

  async show(): Promise<void> {
    const name = vscode.l10n.t("Last completion request");
    const uri = vscode.Uri.parse(URI).with({ path: `/${name}.txt` });
    this.changed.fire(uri);
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.window.showTextDocument(document, { preview: true });
  }

  provideTextDocumentContent(): string {
    return this.last ? described(this.last) : vscode.l10n.t("Nothing has been sent in this window.");
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}

function described({ body, to, at, answer, tookMs }: Sent): string {
  const { t } = vscode.l10n;
  const { prompt, suffix = "", input_middle = "", input_extra = [], ...settings } = body;
  const took = tookMs === undefined ? t("still running") : t("{0} ms", Math.round(tookMs));
  const part = (title: string, text: string) => `──── ${title} (${text.length}) ────\n${text}`;
  return [
    t("Sent to {0} at {1}: {2}", to, at.toLocaleTimeString(), took),
    t("This is kept in memory until the next request, and nowhere else."),
    part("POST /v1/completions", JSON.stringify(settings, null, 2)),
    part(t("Before the cursor"), prompt + input_middle),
    part(t("After the cursor"), suffix),
    part(t("Answer"), answer),
    ...input_extra.map(({ filename, text }) => part(filename, text)),
  ].join("\n\n");
}
