"""Count with a model's own vocabulary and template, here, without asking the backend."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from stoker.tokens.counting.chat_template import ChatTemplate
from stoker.tokens.counting.gguf_vocab import read_vocabulary
from stoker.tokens.counting.token_counting import PieceCache, Request
from stoker.tokens.token_errors import TokenizerError

#: Where a text may be cut without changing a token, by what the tokenizer's regular expression
#: does with line ends. Those derived from cl100k (Llama 3, Qwen, DeepSeek V3, ...) take white space
#: up to the last line end as one piece; o200k's and Tekken's take the slashes behind it too, as of
#: a comment (findings/o200k-joins-line-ends-with-slashes.sh); GPT-2's looks at what follows white
#: space, so that only a single line end between two visible characters is sure.
_CL100K_LINES = re.compile(r"(?<=\n)(?=[!-~])")
_GPT2_LINES = re.compile(r"(?<=[!-~]\n)(?=[!-~])")
_O200K_LINES = re.compile(r"(?<=\n)(?=[!-.0-~])")
_CL100K, _O200K = r"\s*[\r\n]+", r"[\r\n/]"


class LocalTokenizer:
    """A model's tokenizer and chat template; both ways of counting remember what they counted.

    A text is cut where the tokenizer cuts it anyway (at special tokens, and at line ends where
    its regular expressions allow), so that a conversation which grows at its end, or a prompt
    that lost one tool, costs only what is new. The sum of the pieces is exact.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None = None) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._pieces = PieceCache()
        state = json.loads(tokenizer.to_str())
        self._splitter = _splitter(state)
        self._lines = _lines(state)

    @classmethod
    def from_gguf(cls, path: Path) -> LocalTokenizer:
        """Read vocabulary, merges and chat template from the header of a GGUF file.

        Raises ``TokenizerError`` for kinds of vocabulary that can't be counted exactly here.
        """
        vocabulary = read_vocabulary(path)
        template = None
        if vocabulary.chat_template is not None:
            template = ChatTemplate(
                vocabulary.chat_template, vocabulary.special_tokens, vocabulary.tool_use_template
            )
        return cls(vocabulary.tokenizer(), template)

    @classmethod
    def from_folder(cls, folder: Path) -> LocalTokenizer:
        """Read ``tokenizer.json`` and the chat template of a model in Hugging Face's layout."""
        path = folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise TokenizerError(f"{path} is not a tokenizer.", str(error)) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer, _template_in(folder))

    def count_strings(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, special tokens in it included, none added."""
        split = [self._split(text) for text in texts]
        flat = [piece for pieces in split for piece in pieces]
        counts = iter(self._pieces.count(flat, self._count))
        return [sum(next(counts) for _ in pieces) for pieces in split]

    def count_request(self, request: Request) -> int:
        """Return the tokens of a chat request's prompt; raises ``TokenizerError``."""
        if self.template is None:
            raise TokenizerError("The model has no chat template to count with.")
        return self.count_strings([self.template.render(request)])[0]

    def _count(self, texts: list[str]) -> list[int]:
        encoded = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(encoding.ids) for encoding in encoded]

    def _split(self, text: str) -> list[str]:
        if self._lines is None:
            return [text]
        parts = self._splitter.split(text) if self._splitter else [text]
        return [line for part in parts if part for line in self._lines.split(part)]


def _splitter(state: Mapping[str, Any]) -> re.Pattern[str] | None:
    """Return what cuts a text at added tokens, keeping them; ``None`` where there are none."""
    contents = [token["content"] for token in state.get("added_tokens", ())]
    if not contents:
        return None
    longest_first = sorted(contents, key=len, reverse=True)
    return re.compile("(" + "|".join(re.escape(content) for content in longest_first) + ")")


def _lines(state: Mapping[str, Any]) -> re.Pattern[str] | None:
    """Return where texts may be cut, ``None`` where counting in pieces is not surely exact."""
    plain = all(
        not (token.get("lstrip") or token.get("rstrip") or token.get("single_word"))
        for token in state.get("added_tokens", ())
    )
    normalizer = state.get("normalizer")
    known = normalizer is None or normalizer.get("type") == "NFC"
    return _lines_of(list(_steps(state.get("pre_tokenizer")))) if plain and known else None


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> Iterable[Mapping[str, Any]]:
    if pre_tokenizer is None:
        return []
    if pre_tokenizer.get("type") == "Sequence":
        return list(pre_tokenizer["pretokenizers"])
    return [pre_tokenizer]


def _lines_of(steps: Sequence[Mapping[str, Any]]) -> re.Pattern[str] | None:
    lines: re.Pattern[str] | None = None
    for step in steps:
        kind = step.get("type")
        regex = step.get("pattern", {}).get("Regex", "") if kind == "Split" else ""
        if _CL100K in regex:
            lines = _O200K_LINES if _O200K in regex else _CL100K_LINES
        elif kind == "ByteLevel" and not step.get("add_prefix_space"):
            lines = _GPT2_LINES if step.get("use_regex") else lines
        elif kind != "Digits":
            return None
    return lines


def _template_in(folder: Path) -> ChatTemplate | None:
    config: dict[str, Any] = {}
    path = folder / "tokenizer_config.json"
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
    special = {name: _special(config.get(name)) for name in ("bos_token", "eos_token", "unk_token")}
    separate = folder / "chat_template.jinja"
    if separate.is_file():
        return ChatTemplate(separate.read_text(encoding="utf-8"), special)
    source = config.get("chat_template")
    named = {"default": source}
    if isinstance(source, list):
        named = {item["name"]: item["template"] for item in source}
    default, tool_use = named.get("default"), named.get("tool_use")
    return ChatTemplate(default, special, tool_use) if isinstance(default, str) else None


def _special(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""
