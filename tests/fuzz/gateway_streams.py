"""Fuzz the relay: ``pip install atheris``, then ``python tests/fuzz/gateway_streams.py``.

Every stream is relayed whole and in pieces, unparsed and with calls sought in it. The client must
get the same events, in UTF-8, and one ``[DONE]`` at the end. Takes libFuzzer's options.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
with atheris.instrument_imports(
    include=[
        "stoker.gateway.relay.answer_conversion",
        "stoker.gateway.relay.event_editor",
        "stoker.gateway.relay.event_framing",
        "stoker.gateway.relay.native_calls",
        "stoker.gateway.relay.normal_message",
        "stoker.gateway.relay.response_stream",
        "stoker.gateway.relay.tool_call_rewriter",
    ]
):
    from tests.unit.gateway.test_streams_fuzz import CALL, pieces_of, relayed, without_call_ids

from tests.unit.gateway.backends import DONE, event, usage  # noqa: E402

from stoker.gateway.relay.event_framing import BYTE_ORDER_MARK, begins_stream  # noqa: E402

SEEDS = (event("größe") + DONE, event(CALL) + usage() + DONE, b": ping\r\n\r\n" + event("a"), b"")
LOOP = asyncio.new_event_loop()


def one_input(data: bytes) -> None:
    """Relay one stream, cut at places that the fuzzer chose."""
    provider = atheris.FuzzedDataProvider(data)
    seed = SEEDS[provider.ConsumeIntInRange(0, len(SEEDS) - 1)]
    parsed, wants_usage = provider.ConsumeBool(), provider.ConsumeBool()
    at = provider.ConsumeIntInRange(0, len(seed))
    cuts = [provider.ConsumeIntInRange(0, 400) for _ in range(6)]
    stream = seed[:at] + provider.ConsumeBytes(sys.maxsize) + seed[at:]
    if not begins_stream(stream.removeprefix(BYTE_ORDER_MARK), is_declared=True):
        return  # its client gets no stream
    LOOP.run_until_complete(_check(stream, cuts, parsed, wants_usage))


async def _check(stream: bytes, cuts: list[int], parsed: bool, wants_usage: bool) -> None:
    whole = await relayed([stream], parsed=parsed, wants_usage=wants_usage)
    cut = await relayed(pieces_of(stream, cuts), parsed=parsed, wants_usage=wants_usage)
    if without_call_ids(cut) != without_call_ids(whole):
        raise AssertionError(f"cut at {cuts}, {stream!r} reads otherwise")
    if cut.count(DONE.strip()) != 1 or cut[-1] != DONE.strip():
        raise AssertionError(f"{stream!r} does not end as it must")
    b"\n".join(cut).decode()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
