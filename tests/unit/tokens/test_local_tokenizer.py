"""Counting in cached pieces gives the tokens of the whole, from either kind of model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fixtures.agent import agent_request, growing_conversation
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

from stoker.errors import StokerError
from stoker.tokens import ChatTemplate, LocalTokenizer, TokenizerError
from stoker.tokens.counting.gguf_vocab import LLAMA3_REGEX, QWEN2_REGEX
from stoker.tokens.truncation.message_shortening import Cap, shorten

TEMPLATE = (
    "{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


def _cl100k(regex: str) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(regex), "isolated")
    return pre_tokenizers.Sequence([split, byte_level])


#: What o200k and Mistral's Tekken do with punctuation, which is all that they add here.
O200K_REGEX = r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PRE_TOKENIZERS = {
    "o200k": _cl100k(O200K_REGEX),
    "qwen2": _cl100k(QWEN2_REGEX),
    "llama-bpe": _cl100k(LLAMA3_REGEX),
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    ),
    "metaspace": pre_tokenizers.Metaspace(),
}


def _train(pre_tokenizer: pre_tokenizers.PreTokenizer) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    corpus = [json.dumps(request, indent=1) for request in growing_conversation(3)]
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    comments = "x.\n// y.\n// z;\n/ w\n" * 50
    tokenizer.train_from_iterator([*corpus, "\n\n\n\n  \n\n \t\n\r\n" * 50, comments], trainer)
    special = [
        AddedToken(t, normalized=False, special=True) for t in ("<|im_start|>", "<|im_end|>")
    ]
    tokenizer.add_special_tokens(special)
    return tokenizer


TRAINED = {name: _train(pre) for name, pre in PRE_TOKENIZERS.items()}
LOCAL = {name: LocalTokenizer(tokenizer) for name, tokenizer in TRAINED.items()}
_PIECES = st.sampled_from(
    [
        *("\n", "\n\n", " ", "\t", "\r\n", "\x1c", "\x85", "\u2028", "\u3000", "word", "'s"),
        *("12", "ß", "漢", "{", '"', "<|im_start|>", "<|im_", "end|>", "-", "\x00", "🙂"),
        *("// ", ".\n//", "/"),
    ]
)


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(parts=st.lists(_PIECES | st.text(max_size=5), max_size=30))
def test_the_sum_of_the_pieces_is_exact(name: str, parts: list[str]) -> None:
    text = "".join(parts).encode("utf-8", "replace").decode()
    whole = TRAINED[name].encode(text, add_special_tokens=False)
    assert LOCAL[name].count_strings([text, text]) == [len(whole.ids)] * 2


class _Recorder:
    """Passes everything on to a tokenizer and keeps what it was asked to encode."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.texts: list[str] = []

    def to_str(self) -> str:
        return self.tokenizer.to_str()

    def encode_batch_fast(self, texts: list[str], add_special_tokens: bool) -> Any:
        self.texts += texts
        return self.tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)


def test_a_conversation_that_grows_pays_only_for_what_is_new() -> None:
    recorder = _Recorder(TRAINED["qwen2"])
    local = LocalTokenizer(recorder)  # type: ignore[arg-type]
    first, second = list(growing_conversation(2))
    local.count_strings([message["content"] for message in first["messages"]])
    recorder.texts.clear()
    local.count_strings([message["content"] for message in second["messages"]])
    new = "".join(message["content"] for message in second["messages"][2:])
    assert sum(map(len, recorder.texts)) <= len(new)


def test_a_folder_is_counted_with_its_own_template(tmp_path: Path) -> None:
    TRAINED["qwen2"].save(str(tmp_path / "tokenizer.json"))
    config = {"chat_template": TEMPLATE, "eos_token": {"content": "<|im_end|>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    local = LocalTokenizer.from_folder(tmp_path)
    assert local.template is not None
    rendered = local.template.render(agent_request())
    assert rendered.count("<|im_start|>") == 3
    whole = TRAINED["qwen2"].encode(rendered, add_special_tokens=False)
    assert local.count_request(agent_request()) == len(whole.ids)


def test_a_template_file_wins_over_the_one_in_the_configuration(tmp_path: Path) -> None:
    TRAINED["qwen2"].save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "old"}))
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    template = LocalTokenizer.from_folder(tmp_path).template
    assert template is not None
    assert template.source == TEMPLATE


def _write_gguf(
    path: Path,
    tokenizer: Tokenizer,
    pre: str,
    model: str = "gpt2",
    template: Any = TEMPLATE + "{{ eos_token }}",
) -> None:
    state = json.loads(tokenizer.to_str())
    vocabulary = dict(state["model"]["vocab"])
    vocabulary |= {token["content"]: token["id"] for token in state["added_tokens"]}
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    special = {token["content"] for token in state["added_tokens"]}
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in state["model"]["merges"]])
    writer.add_eos_token_id(vocabulary["<|im_end|>"])
    writer.add_chat_template(template)
    writer.add_tensor("output_norm.weight", np.zeros(32, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("pre", ["qwen2", "llama-bpe", "gpt-2", "smollm"])
def test_a_gguf_is_counted_like_the_tokenizer_it_was_made_of(tmp_path: Path, pre: str) -> None:
    path = tmp_path / "model.gguf"
    _write_gguf(path, TRAINED[pre], pre)
    local = LocalTokenizer.from_gguf(path)
    assert local.template is not None
    rendered = local.template.render(agent_request())
    assert rendered.endswith("<|im_end|>")
    whole = TRAINED[pre].encode(rendered, add_special_tokens=False)
    assert local.count_request(agent_request()) == len(whole.ids)


NAMED_TEMPLATES = [
    {"name": "default", "template": "no tools"},
    {"name": "tool_use", "template": "with {{ tools | length }} tools"},
]
BY_TOOLS: list[tuple[Any, str]] = [([], "no tools"), (None, "no tools"), ([{}, {}], "with 2 tools")]


@pytest.mark.parametrize(("tools", "rendered"), BY_TOOLS)
def test_a_template_for_tools_is_used_where_tools_are_offered(
    tmp_path: Path, tools: Any, rendered: str
) -> None:
    """As llama.cpp does with a GGUF's templates, and transformers with a folder's."""
    _write_gguf(tmp_path / "model.gguf", TRAINED["qwen2"], "qwen2", template=NAMED_TEMPLATES)
    TRAINED["qwen2"].save(str(tmp_path / "tokenizer.json"))
    config = {"chat_template": NAMED_TEMPLATES}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    request = {"messages": [{"role": "user", "content": "hi"}], "tools": tools}
    for local in (
        LocalTokenizer.from_gguf(tmp_path / "model.gguf"),
        LocalTokenizer.from_folder(tmp_path),
    ):
        assert local.template is not None
        assert local.template.render(request) == rendered
        assert "tools" in local.template.source_for_tools


def test_a_vocabulary_that_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    _write_gguf(path, TRAINED["qwen2"], "something-new")
    with pytest.raises(TokenizerError, match="something-new"):
        LocalTokenizer.from_gguf(path)
    _write_gguf(path, TRAINED["qwen2"], "default", model="llama")
    with pytest.raises(TokenizerError, match="no byte-level BPE"):
        LocalTokenizer.from_gguf(path)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 40, b"no"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(StokerError):
        LocalTokenizer.from_gguf(path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError):
        LocalTokenizer.from_folder(tmp_path)


def test_arguments_that_nest_too_deeply_to_be_read_are_handed_on_as_text() -> None:
    template = ChatTemplate("{{ messages[0].tool_calls[0].function.arguments }}")
    call = {"type": "function", "function": {"name": "f", "arguments": "[" * 100_000}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert template.render({"messages": [message]}) == "[" * 100_000
    assert shorten(message, Cap(10)) == message


def test_a_template_that_refuses_the_messages_gives_the_reason(tmp_path: Path) -> None:
    TRAINED["qwen2"].save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    with pytest.raises(TokenizerError, match="no system role"):
        LocalTokenizer.from_folder(tmp_path).count_request(agent_request())


@pytest.mark.parametrize(
    "message",
    [
        {"content": [1]},
        {"content": ["text"]},
        {"content": [{"type": "text", "text": None}]},
        {"content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"content": "", "tool_calls": [None]},
        {"content": "", "tool_calls": [{"function": "f"}]},
    ],
)
def test_content_that_no_template_can_take_is_refused_and_never_breaks(message: Any) -> None:
    template = ChatTemplate(
        "{{ messages[0].content + '' }}"
        "{% for call in messages[0].tool_calls %}{{ call.function.name + '' }}{% endfor %}"
    )
    with pytest.raises(TokenizerError, match="refuses"):
        template.render({"messages": [{"role": "user", **message}]})
