/** What a next-edit model is sent: the examples of the source that each row names. */
import { describe, expect, test } from "vitest";
import { formOf, type Question } from "../../../src/completion/nextEdit/nextEditForm";

const edit = (line: number, before: string[], after: string[]) => ({ line, before, after });
const ask = (question: Partial<Question>) =>
  formOf("sweep-next-edit-1.5b")?.ask({ path: "src/main.rs", lines: [], edits: [], cursorLine: 0, ...question });

test.each([
  ["sweepai/sweep-next-edit-1.5B", "sweep"],
  ["sweep-next-edit-0.5b.q8_0.gguf", "sweep"],
  ["sweep-next-edit-1.5b.q8_0.v2.gguf", "sweep"],
  ["sweepai/sweep-next-edit-v2-7B", undefined],
  ["qwen2.5-coder-1.5b", undefined],
])("%s has the form %s", (id, name) => {
  expect(formOf(id)?.name).toBe(name);
});

describe("sweep", () => {
  test("without an edit: vscode-nes's buildLocalPrompt", () => {
    expect(ask({ lines: ["const a = 1;"], path: "src/a.ts" })?.prompt).toBe(
      "<|file_sep|>original/src/a.ts\nconst a = 1;\n<|file_sep|>current/src/a.ts\nconst a = 1;\n<|file_sep|>updated/src/a.ts\n",
    );
  });

  test("an edit with its lines around: Zed's recent_change_block_from_event and build_prompt", () => {
    const lines = ["fn main() {", '    println!("new");', "}", ""];
    const edits = [edit(1, ['    println!("old");'], ['    println!("new");'])];
    expect(ask({ lines, edits, cursorLine: 1 })?.prompt).toBe(
      '<|file_sep|>src/main.rs.diff\noriginal:\nfn main() {\n    println!("old");\n}\nupdated:\nfn main() {\n    println!("new");\n}\n' +
        '<|file_sep|>original/src/main.rs\nfn main() {\n    println!("old");\n}\n' +
        '<|file_sep|>current/src/main.rs\nfn main() {\n    println!("new");\n}\n' +
        "<|file_sep|>updated/src/main.rs\n",
    );
  });

  test("the window before the latest edit: Zed's original_window_for_current_window", () => {
    const lines = ["zero", "ONE", "two", "three"];
    expect(ask({ lines, edits: [edit(1, ["one"], ["ONE"])], cursorLine: 1 })).toMatchObject({
      line: 0,
      original: ["zero", "one", "two", "three"],
      current: lines,
    });
  });

  test("ten lines before and after the cursor's, and the last three edits", () => {
    const lines = Array.from({ length: 100 }, (_, at) => `line ${at}`);
    const edits = [5, 40, 70, 52].map((at) => edit(at, [`old ${at}`], [`line ${at}`]));
    const asked = ask({ lines, edits, cursorLine: 50 });
    expect(asked?.line).toBe(40);
    expect(asked?.current).toEqual(lines.slice(40, 61));
    expect(asked?.original).toEqual(lines.slice(40, 61).with(12, "old 52"));
    expect(asked?.prompt.match(/\.diff\noriginal:\n.*\n.*\n.*\nold (\d+)/g)?.map((each) => each.split("old ")[1])).toEqual(["40", "70", "52"]);
  });

  test.each([
    ["grew beyond the window's end", edit(8, ["old"], ["8", "9", "10"]), ["7", "old"]],
    ["is above the window", edit(1, ["old"], ["1"]), ["7", "8", "9"]],
    ["ends where the window begins", edit(6, ["old"], ["6"]), ["7", "8", "9"]],
    ["took the lines before the window away", edit(7, ["old"], []), ["old", "7", "8", "9"]],
    ["took lines away", edit(8, ["old", "older"], []), ["7", "old", "older", "8", "9"]],
  ])("an edit that %s", (_, latest, end) => {
    const lines = Array.from({ length: 21 }, (_, at) => `${at}`);
    const asked = formOf("sweep-next-edit")?.ask({ path: "a", lines: lines.slice(0, 10), edits: [latest], cursorLine: 17 });
    expect(asked?.original).toEqual(end);
  });

  test.each(["a <|file_sep|>b", "x </s>", "<tool_call>"])("text with a mark is not sent: %s", (line) => {
    expect(ask({ lines: [line] })).toBeUndefined();
    expect(ask({ lines: [""], path: line })).toBeUndefined();
    expect(ask({ lines: ["new"], edits: [edit(0, [line], ["new"])] })).toBeUndefined();
  });
});
