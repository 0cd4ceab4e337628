"""How models are asked for the edit that follows: a region is rewritten.

Such a model gets the recent edits and the region around the cursor, and writes that region as it
expects it to become. These are the facts of the published forms; who asks such a model writes its
prompt from them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NextEditForm:
    """One form. Of the texts around what is given, ``{path}`` and the like are filled in."""

    name: str
    models: str
    source: str
    #: Special tokens of the vocabulary by which the form is known, as far as it has its own.
    needed: tuple[str, ...]
    #: What marks the cursor in the region.
    cursor: str
    #: What stands before and after the region.
    region_start: str
    region_end: str
    #: What stands before a recent edit, and before another file.
    edit: str
    file: str
    #: With which the prompt ends, and the model begins.
    answer: str
    stops: tuple[str, ...]


NEXT_EDIT_FORMS: tuple[NextEditForm, ...] = (
    NextEditForm(
        name="sweep",
        models="sweepai/sweep-next-edit (Qwen2.5-Coder)",
        source="https://blog.sweep.dev/posts/oss-next-edit and "
        "https://huggingface.co/sweepai/sweep-next-edit-1.5B",
        needed=("<|file_sep|>",),
        cursor="<|cursor|>",
        region_start="<|file_sep|>current/{path}\n",
        region_end="\n",
        edit="<|file_sep|>{path}.diff\noriginal:\n{before}\nupdated:\n{after}\n",
        file="<|file_sep|>{path}\n",
        answer="<|file_sep|>updated/{path}\n",
        stops=("<|file_sep|>", "<|endoftext|>"),
    ),
    NextEditForm(
        name="zeta",
        models="zed-industries/zeta (Qwen2.5-Coder)",
        source="https://huggingface.co/zed-industries/zeta and "
        "https://github.com/zed-industries/zed/tree/main/crates/zeta_prompt",
        needed=(),
        cursor="<|user_cursor_is_here|>",
        region_start="<|editable_region_start|>\n",
        region_end="<|editable_region_end|>",
        edit='User edited "{path}":\n```diff\n{diff}\n```\n',
        file="```{path}\n",
        answer="### Response:\n",
        stops=("<|editable_region_end|>", "<|endoftext|>"),
    ),
    NextEditForm(
        name="zeta-2",
        models="zed-industries/zeta-2 (Seed-Coder)",
        source="https://github.com/zed-industries/zed/tree/main/crates/zeta_prompt",
        needed=("<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"),
        cursor="<|user_cursor|>",
        region_start="<<<<<<< CURRENT\n",
        region_end="=======\n",
        edit="<filename>edit_history\n{diff}\n",
        file="<filename>{path}\n",
        answer="<[fim-middle]>",
        stops=(">>>>>>> UPDATED", "<[end▁of▁sentence]>"),
    ),
)
