/** The strings that VS Code counts for its tools, one after the other. */

import * as vscode from "vscode";

/** Strings that VS Code's agent counts and that are not in its list of tools: its own names for its
 * tools, and list positions. Measured in 1.139; a missing one costs a request. */
const AGENT_TEXTS = [
  ...Array.from({ length: 64 }, (_, position) => String(position)),
  ..."parameters apply_patch create_directory create_file create_new_jupyter_notebook".split(" "),
  ..."create_new_workspace edit_notebook_file fetch_webpage file_search get_changed_files".split(" "),
  ..."get_errors get_project_setup_info get_vscode_api github_repo github_text_search".split(" "),
  ..."grep_search insert_edit_into_file install_extension list_dir manage_todo_list memory".split(" "),
  ..."multi_replace_string_in_file read_file read_notebook_cell_output".split(" "),
  ..."replace_string_in_file resolve_memory_file_uri run_in_terminal run_notebook_cell".split(" "),
  ..."run_vscode_command semantic_search session_store_sql view_image".split(" "),
];

/** Names, descriptions, keys and values of all tools that VS Code knows now. */
export function toolTexts(): ReadonlySet<string> {
  const texts = new Set<string>(AGENT_TEXTS);
  for (const { name, description, inputSchema } of vscode.lm.tools) {
    addTexts({ name, description, inputSchema }, texts);
  }
  texts.delete("");
  return texts;
}

function addTexts(value: unknown, texts: Set<string>): void {
  if (typeof value === "string") texts.add(value);
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (!Array.isArray(value)) texts.add(key);
    addTexts(inner, texts);
  }
}
