/** What an engine has to read of a prompt, after those that it got before. */
import { expect, test } from "vitest";
import { EngineMemory } from "../../src/completion/engineMemory";

const EXTRAS = [{ filename: "a.py", text: "one\n" }];
const at = (prompt: string, input_middle?: string) => ({ prompt, suffix: "\nend", ...(input_middle ? { input_middle } : {}) });

test("of the first prompt all, of the next what follows the first difference", () => {
  const memory = new EngineMemory();
  expect(memory.begins(at("x"), EXTRAS)).toBe("a.py\none\n_x_\nend_".length);
  memory.hasRead();
  expect(memory.begins(at("x"), EXTRAS)).toBe(0);
  expect(memory.begins(at("x", " = f("), EXTRAS)).toBe(" = f(".length);
  memory.hasRead();
  expect(memory.unread(at("xy"), EXTRAS)).toBe("y_\nend_".length);
  expect(memory.unread(at("x"), [])).toBe("x_\nend_".length);
});

test("a prompt that was aborted may have been read anywhere to: what it has in common with the next does not count", () => {
  const memory = new EngineMemory();
  memory.begins(at("x = one"), []);
  memory.hasRead();
  memory.begins(at("x = two"), []);
  expect(memory.unread(at("x = two"), [])).toBe("two_\nend_".length);
});
