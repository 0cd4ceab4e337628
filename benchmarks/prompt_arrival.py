"""What a prompt costs vLLM before it is scheduled: ``PYTHON benchmarks/prompt_arrival.py MODEL``.

``PYTHON`` and ``MODEL`` are those that ``scripts/install-vllm.sh`` prints; vLLM's own parts run one
by one on a prompt of 20,000 tokens, in one process. Each line is CPU time for a token of it.
A prompt pays all of it, however much of it the prefix cache holds. The planner's
``ARRIVAL_TOKEN_S`` is the sum for a text.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from vllm import SamplingParams
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.engine import EngineCoreRequest
from vllm.v1.request import Request
from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

_TOKENS, _BLOCK, _ROUNDS = 20_000, 16, 7
_SOURCES = Path(__file__).parents[1] / "src"
Part = Callable[[], object]


def main() -> None:
    """Print each part, for source code, and for random tokens as text and as ids."""
    tokenizer = Tokenizer.from_file(str(Path(sys.argv[1]) / "tokenizer.json"))
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(_SOURCES.rglob("*.py")))
    ids = tokenizer.encode(text[: 6 * _TOKENS]).ids[:_TOKENS]
    drawn = random.Random(1).choices(range(1000, tokenizer.get_vocab_size() - 1000), k=_TOKENS)
    print("Python sources, sent as text:")
    _print(_parts(tokenizer, ids, tokenizer.decode(ids)))
    print("random tokens, sent as text:")
    _print(_parts(tokenizer, drawn, tokenizer.decode(drawn)))
    print("random tokens, sent as ids:")
    _print(_parts(tokenizer, drawn, drawn))


def _parts(tokenizer: Tokenizer, ids: list[int], prompt: str | list[int]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    if isinstance(prompt, str):
        found["finding its tokens"] = lambda: tokenizer.encode(prompt)
    body = json.dumps({"model": "m", "prompt": prompt})
    params = SamplingParams(max_tokens=1)
    core = EngineCoreRequest("1", ids, None, params, None, 0.0, None, None, None)
    encoder, decoder = MsgpackEncoder(), MsgpackDecoder(EngineCoreRequest)
    init_none_hash(sha256)
    hasher = get_request_block_hasher(_BLOCK, sha256)
    return found | {
        "JSON and validation": lambda: CompletionRequest(**json.loads(body)),
        "to the engine's process": lambda: decoder.decode(encoder.encode(core)),
        "hashes of its blocks": lambda: Request("1", ids, params, None, block_hasher=hasher),
        "the detokenizer's first token": lambda: DecodeStream(ids=ids).step(tokenizer, ids[0]),
    }


def _print(parts: dict[str, Part]) -> None:
    times = {name: _token_s(part) for name, part in parts.items()}
    for name, token_s in (*times.items(), ("all", sum(times.values()))):
        print(f"  {name:32} {1e6 * token_s:6.2f} us a token")


def _token_s(part: Part) -> float:
    took_s = []
    for _ in range(_ROUNDS):
        began_s = time.process_time()
        part()
        took_s.append(time.process_time() - began_s)
    return min(took_s) / _TOKENS


if __name__ == "__main__":
    main()
