"""A trace that ``stoker usage --trace`` printed becomes requests, and a broken one is refused."""

from __future__ import annotations

import pytest

from stoker.errors import StokerError
from stoker.sizing import ArrivingRequest, read_trace
from stoker.sizing import trace as trace_module

HEADER = (
    "arrived_s,owner,session,model,path,status,prompt_tokens,cached_tokens,completion_tokens,"
    "reasoning_tokens,estimated,cut_tokens,queue_s,first_byte_s,total_s"
)
CHAT_PATH = "/v1/chat/completions"


def row(at_s: str, session: str, prompt: str, cached: str, output: str, status: str = "200") -> str:
    return f"{at_s},1,{session},m,{CHAT_PATH},{status},{prompt},{cached},{output},,0,0,,0.5,2.0"


def read(*rows: str) -> list[ArrivingRequest]:
    return list(read_trace([HEADER, *rows]))


def test_a_session_grows_and_starts_again_where_its_prompt_is_shorter() -> None:
    first, second, third = read(
        row("1000.5", "7", "9000", "0", "50"),
        row("1010.5", "7", "9500", "9000", "60"),
        row("1020.5", "7", "4000", "2000", "70"),
    )
    assert (first.at_s, second.at_s, third.at_s) == (0.0, 10.0, 20.0)
    assert first.session == second.session != third.session
    assert (first.kind, third.kind, third.head_tokens) == ("agent", "chat", 2000)


def test_rows_are_put_in_order_and_those_without_a_session_are_alone() -> None:
    first, second = read(row("30", "", "100", "", "5"), row("20", "", "200", "", "5"))
    assert (first.prompt_tokens, second.prompt_tokens) == (200, 100)
    assert first.session != second.session


def test_requests_that_failed_or_whose_tokens_are_not_known_are_left_out() -> None:
    requests = read(
        row("1", "1", "10", "0", "5", status="502"),
        row("2", "1", "", "", ""),
        row("3", "1", "9", "0", "5"),
    )
    assert [request.prompt_tokens for request in requests] == [9]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row("-5", "1", "10", "0", "5"), "line 2: arrived_s is '-5'"),
        (row("1", "1", "ten", "0", "5"), "line 2: prompt_tokens is 'ten'"),
        (row("1", "1", "10", "0", "-1"), "line 2: completion_tokens is '-1'"),
        (row("nan", "1", "10", "0", "5"), "line 2: arrived_s is 'nan'"),
        (row("inf", "1", "10", "0", "5"), "line 2: arrived_s is 'inf'"),
        (row("1", "1", "0", "0", "5"), "line 2: prompt_tokens is '0'"),
        (row("1", "1", "99999999999", "0", "5"), "line 2: prompt_tokens is '99999999999'"),
        (row("1", "1", "10", "0", "1e300"), "line 2: completion_tokens is '1e300'"),
        (row("1e300", "1", "10", "0", "5"), "line 2: arrived_s is '1e300'"),
        (row("1", "s" * 200_000, "10", "0", "5"), "it is not CSV"),
    ],
)
def test_a_number_that_can_not_be_names_its_line(line: str, reason: str) -> None:
    with pytest.raises(StokerError) as raised:
        read(line)
    assert reason in raised.value.what


def test_another_file_an_empty_one_and_a_huge_one_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StokerError, match="is not a trace") as raised:
        read_trace(["a,b,c", "1,2,3"], "notes.csv")
    assert "arrived_s, prompt_tokens, completion_tokens" in raised.value.why
    with pytest.raises(StokerError, match="no answered request"):
        read()
    monkeypatch.setattr(trace_module, "MOST_ROWS", 2)
    with pytest.raises(StokerError, match="more than 2 requests"):
        read(*(row(str(n), "1", "10", "0", "5") for n in range(3)))
