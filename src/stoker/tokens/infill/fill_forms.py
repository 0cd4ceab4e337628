"""How models are asked to fill in between two texts: one row for each form, with its source.

A model is known to have a form by the special tokens in its own vocabulary, not by its name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileMarks:
    """How the files of a repository are marked."""

    #: The token before the repository's name (``None``: it is not named), and the one before each
    #: file's.
    repository: str | None
    file: str
    #: The text between a repository's name and its first file.
    after_repository: str = ""
    #: The name of the file at hand stands behind the token of the prefix, not before it.
    name_in_prefix: bool = False


@dataclass(frozen=True, slots=True)
class FillForm:
    """One form. Special tokens are written by their names in the vocabulary."""

    #: What data files and messages call it.
    name: str
    #: The models that have it, in words.
    models: str
    #: Where its publisher describes it.
    source: str
    #: The tokens before the text before the cursor, before the text after it, and at the end.
    prefix: str
    suffix: str
    #: ``None`` where the text that comes last ends the prompt.
    middle: str | None
    #: Tokens with which the model ends its answer, or runs on into something else. The most likely
    #: come first: some servers take four.
    stops: tuple[str, ...]
    #: Further tokens that its vocabulary has, and others with the same marks do not.
    needs: tuple[str, ...] = ()
    #: The text after the cursor comes first.
    suffix_first: bool = False
    #: ``None``: other files stand before the text before the cursor, each under a comment.
    files: FileMarks | None = None
    #: All other names that must not become a token where they stand in a person's text.
    controls: tuple[str, ...] = ()
    #: Its tokenizer (SentencePiece) puts a space before every text, which is right for the text
    #: before the cursor alone: https://github.com/meta-llama/codellama/blob/main/llama/tokenizer.py
    spaced: bool = False
    #: The marks as text (prefix, suffix, middle), where those are not the names of the tokens.
    written: tuple[str, str, str] | None = None

    @property
    def marks(self) -> tuple[str, ...]:
        """The tokens that a prompt is written with."""
        files = (self.files.repository, self.files.file) if self.files else ()
        marks = (self.prefix, self.suffix, self.middle, *files)
        return tuple(mark for mark in marks if mark is not None)

    @property
    def needed(self) -> tuple[str, ...]:
        """The tokens by which a vocabulary is known to have this form."""
        return tuple(dict.fromkeys((*self.marks, *self.needs)))

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that must stay a text where it stands in a person's text."""
        return tuple(dict.fromkeys((*self.needed, *self.stops, *self.controls)))

    def as_stop(self, name: str) -> str:
        """How the end of an answer is written where servers compare its text."""
        return name.removeprefix("▁")

    def as_text(self, mark: str) -> str:
        """How a mark is written where a prompt is a text."""
        if self.written is None:
            return mark
        return dict(zip((self.prefix, self.suffix, self.middle), self.written, strict=True))[mark]


_CHATML = ("<|im_end|>", "<|im_start|>")
_QWEN_CONTROLS = (
    *("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
#: StarCoder's, which Granite Code and others took over:
#: https://huggingface.co/bigcode/starcoder/blob/main/special_tokens_map.json
_STARCODER_CONTROLS = (
    *("<fim_pad>", "<filename>", "<gh_stars>", "<issue_start>", "<issue_comment>"),
    *("<issue_closed>", "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>"),
    *("<empty_output>", "<commit_before>", "<commit_msg>", "<commit_after>", "<reponame>"),
)
#: https://huggingface.co/bigcode/starcoder2-3b/blob/main/special_tokens_map.json
_STARCODER2_CONTROLS = (
    *_STARCODER_CONTROLS,
    *("<jupyter_script>", "<code_to_intermediate>", "<intermediate_to_code>", "<pr>"),
    *("<pr_status>", "<pr_is_merged>", "<pr_base>", "<pr_file>", "<pr_base_code>", "<pr_diff>"),
    *("<pr_diff_hunk>", "<pr_comment>", "<pr_event_id>", "<pr_review>", "<pr_review_state>"),
    *("<pr_review_comment>", "<pr_in_reply_to_review_id>", "<pr_in_reply_to_comment_id>"),
    *("<pr_diff_hunk_comment_line>", "<NAME>", "<EMAIL>", "<KEY>", "<PASSWORD>"),
)
_SENTENCEPIECE = ("<s>", "</s>", "<unk>", "<pad>", "<mask>")
#: https://github.com/mistralai/mistral-common, SpecialTokens in tokens/tokenizers/base.py
_MISTRAL_CONTROLS = (
    *_SENTENCEPIECE,
    *("[MIDDLE]", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]"),
    *("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"),
    *("[AUDIO]", "[BEGIN_AUDIO]", "[THINK]", "[/THINK]", "[TRANSCRIBE]"),
)

#: More particular forms come first: the first whose tokens a vocabulary has is the model's.
FORMS: tuple[FillForm, ...] = (
    FillForm(
        name="qwen",
        models="Qwen2.5-Coder, Qwen3-Coder",
        # The stops are its ``eos_token_ids``.
        source="https://github.com/QwenLM/Qwen2.5-Coder/blob/"
        "251cddd0dde824c7a46a6e0ea531710a187d79ee/examples/Qwen2.5-Coder-repolevel-fim.py",
        prefix="<|fim_prefix|>",
        suffix="<|fim_suffix|>",
        middle="<|fim_middle|>",
        files=FileMarks("<|repo_name|>", "<|file_sep|>", "\n", name_in_prefix=False),
        stops=(
            *("<|endoftext|>", "<|file_sep|>", "<|fim_pad|>", "<|repo_name|>", *_CHATML),
            *("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
        ),
        controls=_QWEN_CONTROLS,
    ),
    FillForm(
        name="codegemma",
        models="CodeGemma",
        source="https://ai.google.dev/gemma/docs/codegemma/prompt-structure",
        prefix="<|fim_prefix|>",
        suffix="<|fim_suffix|>",
        middle="<|fim_middle|>",
        needs=("<|file_separator|>",),
        stops=(
            *("<|file_separator|>", "<eos>", "<end_of_turn>"),
            *("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
        ),
        controls=("<bos>", "<pad>", "<unk>", "<mask>", "<start_of_turn>"),
    ),
    FillForm(
        name="granite-4",
        models="Granite 4",
        # Its example has the prompt in a chat's message; whether that is better was not tried.
        source="https://github.com/ibm-granite/granite-4.0-language-models/blob/"
        "8c874fed4775c018d637b2aabf850d4bb1a29e5f/"
        "Granite%204.0%20Prompt%20engineering%20guide%20v2.md, FIM coding tasks",
        prefix="<|fim_prefix|>",
        suffix="<|fim_suffix|>",
        middle="<|fim_middle|>",
        needs=("<|start_of_role|>", "<|end_of_text|>"),
        stops=(
            *("<|end_of_text|>", "<|fim_pad|>", "<|start_of_role|>"),
            *("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
        ),
        controls=("<|end_of_role|>", "<tool_call>", "</tool_call>", "<think>", "</think>"),
    ),
    FillForm(
        name="starcoder2",
        models="StarCoder2",
        source="https://arxiv.org/abs/2402.19173, section 5.1",
        prefix="<fim_prefix>",
        suffix="<fim_suffix>",
        middle="<fim_middle>",
        files=FileMarks("<repo_name>", "<file_sep>", "", name_in_prefix=True),
        stops=(
            *("<|endoftext|>", "<file_sep>", "<fim_pad>", "<repo_name>"),
            *("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
        ),
        controls=_STARCODER2_CONTROLS,
    ),
    FillForm(
        name="mellum",
        models="Mellum",
        source="https://huggingface.co/JetBrains/Mellum-4b-base/commit/"
        "ddf77ce4289722d1bfd59a34b8899500c2ce87c8, the example of several files",
        prefix="<fim_prefix>",
        suffix="<fim_suffix>",
        middle="<fim_middle>",
        needs=("<system>", "</system>"),
        files=FileMarks(None, "<filename>"),
        suffix_first=True,
        stops=(
            *("<|endoftext|>", "<fim_pad>", "<filename>"),
            *("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
        ),
        controls=(
            *_STARCODER_CONTROLS,
            *("<user>", "</user>", "<assistant>", "</assistant>", "<think>", "</think>"),
        ),
    ),
    FillForm(
        name="granite-code",
        models="Granite Code, Granite 3.3, StarCoder",
        source="https://arxiv.org/abs/2405.04324, section 4, and "
        "https://huggingface.co/bigcode/starcoder (fill-in-the-middle; its publisher's example in "
        "discussions/22), whose tokenizer it has",
        prefix="<fim_prefix>",
        suffix="<fim_suffix>",
        middle="<fim_middle>",
        needs=("<fim_pad>", "<filename>"),
        stops=(
            *("<|endoftext|>", "<fim_pad>", "<|end_of_text|>", "<filename>"),
            *("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
        ),
        controls=(*_STARCODER_CONTROLS, "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
    ),
    FillForm(
        name="deepseek",
        models="DeepSeek-Coder, DeepSeek-Coder-V2, DeepSeek V3 and V4",
        source="https://github.com/deepseek-ai/DeepSeek-Coder, README, code insertion",
        prefix="<｜fim▁begin｜>",
        suffix="<｜fim▁hole｜>",
        middle="<｜fim▁end｜>",
        stops=(
            *("<｜end▁of▁sentence｜>", "<|EOT|>", "<｜fim▁begin｜>", "<｜fim▁hole｜>"),
            *("<｜fim▁end｜>", "<｜begin▁of▁sentence｜>"),
        ),
    ),
    FillForm(
        name="codellama",
        models="CodeLlama 7B and 13B",
        source="https://github.com/meta-llama/codellama/blob/main/llama/generation.py, "
        "infilling_prompt_tokens",
        prefix="▁<PRE>",
        suffix="▁<SUF>",
        middle="▁<MID>",
        stops=("▁<EOT>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>"),
        # Its tokenizer reads a space and such a name as one of the marks.
        controls=(*_SENTENCEPIECE, "<PRE>", "<SUF>", "<MID>", "<EOT>", "<step>"),
        spaced=True,
        written=("<PRE> ", " <SUF>", " <MID>"),
    ),
    FillForm(
        name="codestral",
        models="Codestral and Mistral with the same tokens",
        source="https://github.com/mistralai/mistral-common/blob/main/src/mistral_common/tokens/"
        "tokenizers/instruct.py, InstructTokenizerV2.encode_fim (read in mistral-common 1.13.1)",
        prefix="[PREFIX]",
        suffix="[SUFFIX]",
        middle=None,
        suffix_first=True,
        stops=("</s>", "[PREFIX]", "[SUFFIX]", "[MIDDLE]"),
        controls=_MISTRAL_CONTROLS,
        spaced=True,
    ),
    FillForm(
        name="seed-coder",
        models="Seed-Coder",
        source="https://arxiv.org/abs/2506.03524, section 3 (fill-in-the-middle)",
        prefix="<[fim-prefix]>",
        suffix="<[fim-suffix]>",
        middle="<[fim-middle]>",
        suffix_first=True,
        stops=(
            *("<[end▁of▁sentence]>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"),
            *("<[SEP▁TOKEN]>", "<[PAD▁TOKEN]>", "<[begin▁of▁sentence]>"),
        ),
    ),
)


def form_of_vocabulary(names: Collection[str]) -> FillForm | None:
    """The form of a model whose vocabulary has these of the tokens that forms need."""
    return next((form for form in FORMS if all(name in names for name in form.needed)), None)
