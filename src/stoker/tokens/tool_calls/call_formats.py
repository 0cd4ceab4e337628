"""The formats in which models print tool calls: the marker that each begins and ends with.

To add one, give it a row. What stands between the markers is read by its form, the same for all:
JSON, Python, tags (``tagged_calls.TAGS`` has theirs) or a name and JSON. Only a form that is new
needs a reader, a class with ``read(text, final)``, and its line in ``CallBlock``. ``read`` looks at
the text each time that more has come. It returns ``None`` while it needs more, ``REJECTED`` as soon
as the text can't be a call, else ``FoundCall``. ``final`` is true once the answer has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stoker.tokens.tool_calls.call_block import INNER_OPENINGS, SOLAR_OPENING, CallBlock
from stoker.tokens.tool_calls.call_candidate import MessageReader, Reader
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.message_headers import (
    HARMONY_OPENINGS,
    RECIPIENT_OPENING,
    STRIPPED_OPENINGS,
    HarmonyMessage,
    StrippedReasoning,
)
from stoker.tokens.tool_calls.tagged_calls import DSML_SPACES, TAGS


@dataclass(frozen=True, slots=True)
class CallFormat:
    """The markers around calls, and whose chat template or parser they are from."""

    opening: str
    closing: str
    source: str
    #: How much of ``opening`` is part of the first call.
    kept_chars: int = 0


FORMATS: tuple[CallFormat, ...] = (
    CallFormat("<tool_call>", "</tool_call>", "Hermes 2, Qwen 2.5 and 3, GLM 4.5, Granite 4"),
    CallFormat("<tool_calls>", "</tool_calls>", "Hunyuan A13B, Jamba, MiniMax M1"),
    CallFormat("<|tool_call|>", "<|/tool_call|>", "Granite 3.0 and 3.1, Phi-4-mini"),
    CallFormat("<tools>", "</tools>", "Qwen 2.5 Coder, which repeats the tag of its prompt"),
    CallFormat("<function_call>", "</function_call>", "Granite 20B and 3.0"),
    CallFormat("<function_calls>", "</function_calls>", "Olmo 3 (Python), Claude's form (invoke)"),
    CallFormat("<minimax:tool_call>", "</minimax:tool_call>", "MiniMax M2"),
    CallFormat("]<]minimax[>[<tool_call>", "]<]minimax[>[</tool_call>", "MiniMax M3"),
    CallFormat("<seed:tool_call>", "</seed:tool_call>", "Seed-OSS"),
    CallFormat("<longcat_tool_call>", "</longcat_tool_call>", "LongCat Flash"),
    CallFormat("<dots_function_call>", "</dots_function_call>", "dots"),
    CallFormat("<tool_calls:opensource>", "</tool_calls:opensource>", "Hy 3"),
    CallFormat("<tool_call:opensource>", "</tool_call:opensource>", "Hy 3"),
    CallFormat("<ifm|tool_calls>", "</ifm|tool_calls>", "K2 Horizon"),
    CallFormat("<ifm|tool_call>", "</ifm|tool_call>", "K2 Horizon"),
    CallFormat("[TOOL_REQUEST]", "[END_TOOL_REQUEST]", "models without tools in LM Studio"),
    # Prompts of other agents, whose calls models write where nothing asks for them.
    CallFormat("<tool_use>", "</tool_use>", "Cherry Studio's and Kiro's prompts"),
    CallFormat("[TOOL_CALL]", "[/TOOL_CALL]", "small models, as other agents' parsers know it"),
    CallFormat("<tool_request>", "</tool_request>", "Qwen 2.5 Coder, in place of <tool_call>"),
    CallFormat("<|tool_calls|>", "<|calls|>", "Solar Open"),
    CallFormat("<|begin|>assistant<|tool_calls|>", "<|calls|>", "Solar Open"),
    CallFormat(SOLAR_OPENING, "<|tool_call:end|>", "Solar Open"),
    CallFormat("<TOOLCALL>", "</TOOLCALL>", "Nemotron Nano"),
    CallFormat("<|tool_call_start|>", "<|tool_call_end|>", "LFM2"),
    CallFormat("<|python_start|>", "<|python_end|>", "Llama 4"),
    CallFormat("<|python_tag|>", "<|eom_id|>", "Llama 3.1 and later"),
    CallFormat("<|tool_call>", "<tool_call|>", "Gemma 4"),
    CallFormat("<start_function_call>", "<end_function_call>", "FunctionGemma"),
    CallFormat("<|START_ACTION|>", "<|END_ACTION|>", "Command R7B and A"),
    CallFormat("Action: ```json", "```", "Command R and R+"),
    CallFormat("Action:```json", "```", "Command R and R+"),
    CallFormat("<|tools_prefix|>", "<|tools_suffix|>", "Apertus"),
    CallFormat("<|action_start|><|plugin|>", "<|action_end|>", "InternLM 2.5 and 3"),
    CallFormat("<|action_start|> <|plugin|>", "<|action_end|>", "InternLM, tokens set apart"),
    CallFormat("<tool_code>", "</tool_code>", "Gemma 3, with tags for its fence"),
    CallFormat("<|function_call|>", "<|message_sep|>", "GigaChat 3"),
    CallFormat("function call<|role_sep|>", "<|message_sep|>", "GigaChat 3, with its header"),
    CallFormat("<|im_start|>assistant -> tool/function_call", "<|im_end|>", "HyperCLOVA X"),
    CallFormat("-> tool/function_call", "<|im_end|>", "HyperCLOVA X, after its prompt"),
    CallFormat("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "Kimi K2"),
    CallFormat(
        "<|tool_call_section_begin|>", "<|tool_call_section_end|>", "Kimi K2, as it slips at times"
    ),
    CallFormat("<|tool_call_begin|>", "<|tool_call_end|>", "Kimi K2"),
    CallFormat("<|open|>tools<|sep|>", "<|close|>tools<|sep|>", "Kimi K3"),
    CallFormat("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "DeepSeek V3, R1, V3.1"),
    CallFormat("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "DeepSeek V3, R1, V3.1"),
    *(
        # Distilled models write the tokens of DeepSeek R1 as text, in one of these ways.
        CallFormat(f"<{bar}tool{gap}calls{rest}{bar}>", f"<{bar}tool{gap}calls{gap}end{bar}>", "R1")
        for bar, gap, rest in (
            ("｜", "▁", ""),
            ("｜", " ", " begin"),
            ("｜", "\\_", "\\_begin"),
            ("|", "▁", "▁begin"),
            ("|", "_", "_begin"),
        )
    ),
    CallFormat("<|tool▁call▁begin|>", "<|tool▁call▁end|>", "DeepSeek, with plain bars"),
    *(
        CallFormat(f"<{space}{kind}>", f"</{space}{kind}>", "DeepSeek V3.2, V4 and V4.1")
        for space in DSML_SPACES
        for kind in ("function_calls", "tool_calls", " calls")
    ),
    CallFormat("<｜tool_calls_begin｜>", "<｜tool_calls_end｜>", "Step 3"),
    CallFormat("<｜tool_call_begin｜>function<｜tool_sep｜>", "<｜tool_call_end｜>", "Step 3"),
    CallFormat(
        "<|plamo:begin_tool_requests:plamo|>", "<|plamo:end_tool_requests:plamo|>", "PLaMo 3"
    ),
    CallFormat(
        "<|plamo:begin_tool_request:plamo|><|plamo:begin_tool_name:plamo|>",
        "<|plamo:end_tool_arguments:plamo|><|plamo:end_tool_request:plamo|>",
        "PLaMo 3",
    ),
    CallFormat("<|message_model|><|content_invoke_tool_json|>", "<|end_message|>", "Inkling"),
    CallFormat("<|content_invoke_tool_json|>", "<|end_message|>", "Inkling, after its prompt"),
    CallFormat("[TOOL_CALLS]", "", "Mistral: an array up to v7, name[ARGS]{...} from v11"),
    CallFormat("functools[", "", "Phi-4-mini", kept_chars=1),
    *(
        CallFormat(opening, "", "a call without its wrapper", len(opening))
        for opening in INNER_OPENINGS
    ),
)

_END_OF_TURN = (
    "<|eom_id|>",
    "<|eot_id|>",
    "<|eot|>",
    "<|im_end|>",
    "<|end|>",
    "[|endofturn|]",
    "[END FINAL RESPONSE]",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",
    "<|content_model_end_sampling|>",
    "<|plamo:tag|>",
    "</s>",
)
#: What belongs to a call, where it stands directly behind one: tags that close it, and the tokens
#: that end a turn, which a server shows that leaves special tokens in the text.
CLOSINGS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *(row.closing for row in FORMATS if row.closing.startswith(("<", "]", "["))),
            *(syntax.closing for syntax in TAGS),
            "</function>",
            "<|call|>",
            *_END_OF_TURN,
        )
    )
)


def _closings(row: CallFormat) -> tuple[str, ...]:
    return (row.closing,) if row.closing else ()


_WRAPPERS = {row.opening: _closings(row) for row in FORMATS if not row.kept_chars}


def _factory(row: CallFormat) -> Callable[[ToolSchemas, int], Reader]:
    marker = row.opening if not row.kept_chars else ""
    skipped = len(row.opening) - row.kept_chars

    def reader(offered: ToolSchemas, at: int) -> Reader:
        block = CallBlock(offered, at + skipped, _closings(row), _WRAPPERS, opening=marker)
        return block.read

    return reader


#: What begins each format wherever it stands, and what reads it from there.
MARKERS: dict[str, Callable[[ToolSchemas, int], MessageReader]] = {
    **{row.opening: _factory(row) for row in FORMATS},
    **{
        word: lambda offered, at: HarmonyMessage(offered, at).read
        for word in (*HARMONY_OPENINGS, RECIPIENT_OPENING, *STRIPPED_OPENINGS)
    },
    StrippedReasoning.OPEN: lambda _, at: StrippedReasoning(at).read,
}
