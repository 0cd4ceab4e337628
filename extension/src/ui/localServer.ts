/** Runs `stoker up` and `stoker down` as tasks: in a terminal that the user sees, on the right machine. */

import * as vscode from "vscode";
import type { ModelRegistry } from "../servers/modelRegistry";

const TASK_TYPE = "stoker";
/** POSIX shells and cmd exit with these where they do not find a command. PowerShell exits with 1, as
 * `stoker` does when it fails: then the terminal shows the reason. */
const NOT_FOUND_EXIT_CODES: readonly (number | undefined)[] = [127, 9009];

export async function runStoker(command: "up" | "down"): Promise<void> {
  const task = new vscode.Task(
    { type: TASK_TYPE, command },
    vscode.TaskScope.Workspace,
    command,
    "Stoker",
    new vscode.ShellExecution("stoker", [command]),
  );
  await vscode.tasks.executeTask(task);
}

/** Looks for models again when one of these tasks ends. */
export function onTaskEnd(
  registry: ModelRegistry,
  log: vscode.LogOutputChannel,
): vscode.Disposable {
  return vscode.tasks.onDidEndTaskProcess(async ({ execution, exitCode }) => {
    const { definition, name } = execution.task;
    if (definition.type !== TASK_TYPE) return;
    log.info(`stoker ${name} ended with ${exitCode ?? "no exit code"}`);
    await registry.reset();
    if (!NOT_FOUND_EXIT_CODES.includes(exitCode)) return;
    await vscode.window.showErrorMessage(
      vscode.l10n.t("The stoker command is not on PATH. Run make up in a clone of Stoker, and add its .venv/bin to PATH."),
    );
  });
}
