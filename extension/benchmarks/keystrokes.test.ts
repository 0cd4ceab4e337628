/** What a key costs in the extension, printed and never judged: `npm run benchmark`.
 *
 * Goal: under 2 ms at P99 in a file of 1 MB, with 60 answers kept. Measured is all that runs at a key: the
 * change is seen, and the provider looks at the file, the answers and the syntax. No server is involved.
 */
import { expect, test } from "vitest";
import * as vscode from "vscode";
import type { CompletionGate } from "../src/completion/completionGate";
import { CompletionProvider } from "../src/completion/completionProvider";
import { CompletionSettings } from "../src/completion/completionSettings";
import { MeasuredSpeed } from "../src/completion/measuredSpeed";
import { postProcess } from "../src/completion/postProcess";
import { Suggestions } from "../src/completion/suggestions";
import { TypingPace } from "../src/completion/typingPace";
import * as host from "../test/support/fakeVscode";

const KEYS = 3000;
const LINES = 25_000;
const AT = 20_000;
const ANSWER = "value = compute_the_total(order, price)";

function quantile(timesMs: number[], share: number): string {
  const sorted = [...timesMs].sort((a, b) => a - b);
  return (sorted[Math.floor(sorted.length * share)] ?? NaN).toFixed(3);
}

test("a key in a file of 1 MB", { timeout: 120_000 }, async () => {
  host.openWindow();
  const text = Array.from({ length: LINES }, (_, at) => `    line_${at} = compute(${at})  # some words`);
  expect(text.join("\n").length).toBeGreaterThan(1_000_000);
  const document = { ...host.fakeDocument("file:///a.py", ""), lineCount: LINES, lineAt: (at: number) => ({ text: text[at] ?? "" }) };
  const suggestions = new Suggestions(
    {
      run: () => async (onText) => (onText(`${ANSWER}\n`), true),
      failed: () => {},
      succeeded: () => {},
      askAgain: () => false,
      waitMs: () => 0,
      refine: ({ rest, multiline, finished }, cursor) => postProcess(rest, { ...cursor, multiline, finished }),
      now: () => performance.now(),
    },
    new TypingPace(),
    new MeasuredSpeed(),
  );
  const provider = new CompletionProvider({
    gate: { off: async () => undefined } as unknown as CompletionGate,
    settings: new CompletionSettings(),
    suggestions,
    window: () => ({ prefixChars: 8000, suffixChars: 2000 }),
  });
  const { token } = new host.CancellationTokenSource();
  const ask = (line: number, character: number) =>
    provider.provideInlineCompletionItems(
      document as unknown as vscode.TextDocument,
      new vscode.Position(line, character),
      { triggerKind: host.InlineCompletionTriggerKind.Invoke, selectedCompletionInfo: undefined },
      token as unknown as vscode.CancellationToken,
    );
  for (let answer = 0; answer < 60; answer += 1) await ask(AT + answer, 4);
  const tookMs: number[] = [];
  let shown = 0;
  for (let key = 0; key < KEYS; key += 1) {
    // The person types what the answer says, in one line after the other: each key finds it again.
    const [line, character] = [AT + Math.floor(key / 20) % 60, 4 + (key % 20)];
    text[line] = `    ${ANSWER.slice(0, key % 20)}`;
    const startedAt = performance.now();
    suggestions.changed([{ uri: "file:/a.py", line, character: character - 1, removed: 0, text: "x" }]);
    const items = await ask(line, character);
    tookMs.push(performance.now() - startedAt);
    shown += items.length;
  }
  console.log(
    `a key: median ${quantile(tookMs, 0.5)} ms, P99 ${quantile(tookMs, 0.99)} ms of ${KEYS} (goal 2); ` +
      `shown ${shown}, asked ${suggestions.counts.begun}`,
  );
});
