"""Read a byte-level BPE vocabulary out of a GGUF file's header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

from stoker.models import gguf_header
from stoker.tokens.token_errors import TokenizerError

#: More tokens, or merges, than any vocabulary has: Gemma's has 262,144.
_MAX_TOKENS = 4_000_000
#: Kinds of token: control tokens and those that a user defined are matched before anything else.
_CONTROL, _USER_DEFINED = 3, 4

_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#: How llama.cpp cuts a text before it merges, by ``tokenizer.ggml.pre``
#: (https://github.com/ggml-org/llama.cpp, src/llama-vocab.cpp), as far as it was compared with it.
QWEN2_REGEX = rf"{_CONTRACTIONS}|{_LETTERS}|\p{{N}}|{_REST}"
LLAMA3_REGEX = rf"{_CONTRACTIONS}|{_LETTERS}|\p{{N}}{{1,3}}|{_REST}"
_REGEXES = {"qwen2": QWEN2_REGEX, "llama-bpe": LLAMA3_REGEX, "llama3": LLAMA3_REGEX}
#: GPT-2's own expression, which ``tokenizers`` has built in, after cutting digits apart.
_GPT2 = {"gpt-2": False, "smollm": True}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The part of a GGUF header that describes its tokenizer."""

    tokens: list[str]
    token_types: list[int]
    merges: list[str]
    pre: str
    chat_template: str | None
    #: The template of this name, which is for requests with tools.
    tool_use_template: str | None
    special_tokens: dict[str, str]

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer; raises ``TokenizerError`` for a kind that is not known here."""
        merges = [(left, right) for left, _, right in (m.partition(" ") for m in self.merges)]
        vocabulary = {token: index for index, token in enumerate(self.tokens)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        tokenizer.pre_tokenizer = _pre_tokenizer(self.pre)
        added = {_CONTROL, _USER_DEFINED}
        tokenizer.add_special_tokens(
            [
                AddedToken(token, normalized=False, special=True)
                for token, kind in zip(self.tokens, self.token_types, strict=True)
                if kind in added and token
            ]
        )
        return tokenizer


def _pre_tokenizer(pre: str) -> pre_tokenizers.PreTokenizer:
    if pre in _GPT2:
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        if not _GPT2[pre]:
            return byte_level
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, byte_level])
    if pre not in _REGEXES:
        raise TokenizerError(
            f"Stoker cannot count with this GGUF's vocabulary (tokenizer.ggml.pre = {pre!r}).",
            fix="The backend's own endpoint counts instead.",
        )
    split = pre_tokenizers.Split(Regex(_REGEXES[pre]), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, byte_level])


def read_metadata(path: Path) -> Mapping[str, Any]:
    """Read the metadata of the GGUF file at ``path``, its vocabulary among them.

    Raises ``StokerError``.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            return gguf_header.read(file, path.name, size, max_kept_array=_MAX_TOKENS).metadata
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read.", str(error)) from error


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the vocabulary of the GGUF file at ``path``; raises ``StokerError``."""
    return vocabulary_of(read_metadata(path), path.name)


def vocabulary_of(header: Mapping[str, Any], name: str) -> Vocabulary:
    """The vocabulary in the metadata of a GGUF file called ``name``; raises ``TokenizerError``."""
    if header.get("tokenizer.ggml.model") != "gpt2":
        raise TokenizerError(
            f"{name} has no byte-level BPE vocabulary.",
            f"It is {header.get('tokenizer.ggml.model')!r}.",
            "The backend's own endpoint counts instead.",
        )
    tokens = header["tokenizer.ggml.tokens"]
    special = {}
    for kind in ("bos", "eos", "unknown"):
        index = header.get(f"tokenizer.ggml.{kind}_token_id")
        if isinstance(index, int) and index < len(tokens):
            special[f"{'unk' if kind == 'unknown' else kind}_token"] = tokens[index]
    return Vocabulary(
        tokens=tokens,
        token_types=header.get("tokenizer.ggml.token_type") or [1] * len(tokens),
        merges=header.get("tokenizer.ggml.merges") or [],
        pre=str(header.get("tokenizer.ggml.pre", "default")),
        chat_template=header.get("tokenizer.chat_template"),
        tool_use_template=header.get("tokenizer.chat_template.tool_use"),
        special_tokens=special,
    )
