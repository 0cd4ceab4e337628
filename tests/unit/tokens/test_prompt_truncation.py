"""A fitted request fits, keeps what it must, cuts in order, and stays the same over turns."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fixtures.agent import agent_request, growing_conversation
from tests.support.recorded import FIXTURES, load
from tests.unit.tokens.strategies import WordCounter, odd_requests, prose_talks, requests

from stoker.gateway.prompt.stable_head import StableHead
from stoker.tokens import (
    Calibration,
    ContextLengthExceededError,
    Fit,
    ToolTooDeepError,
    budget_for,
    calibrate,
    calibrate_calls,
    drive,
    estimate_strings,
    fit,
)
from stoker.tokens.chat_messages import piece_of
from stoker.tokens.counting.chat_template import ChatTemplate
from stoker.tokens.counting.token_counting import Request
from stoker.tokens.tool_calls import emulate
from stoker.tokens.truncation.conversation import used_tools
from stoker.tokens.truncation.core_tool_names import core_tools
from stoker.tokens.truncation.message_shortening import Cap, shorten
from stoker.tokens.truncation.request_assembly import MARKER
from stoker.tokens.truncation.system_prompt import SystemPrompt

COUNTER = WordCounter()
CALIBRATION = drive(calibrate(), COUNTER)


def fitted(
    request: dict[str, Any],
    window: int,
    max_prompt_tokens: int | None = None,
    *,
    names_tools: bool = False,
) -> Fit:
    budget = budget_for(window, request.get("max_tokens"), max_prompt_tokens=max_prompt_tokens)
    steps = fit(request, budget, calibration=CALIBRATION, names_tools=names_tools)
    return drive(steps, WordCounter())


def names(request: Any) -> list[str]:
    return [tool["function"]["name"] for tool in request.get("tools", ())]


def asked_in(message: Any) -> str:
    """What a user's message asks, with nothing of what an editor wraps around it."""
    text = str(message.get("content"))
    return text.partition("<userRequest>")[2] or text


def test_a_request_that_surely_fits_is_neither_counted_nor_changed() -> None:
    request = agent_request()
    counter = WordCounter()
    result = drive(fit(request, budget_for(2_000_000)), counter)
    assert result.request is request
    assert result.prompt_tokens is None
    assert counter.asked == []


def test_a_request_that_fits_by_count_is_not_changed() -> None:
    request = agent_request()
    result = fitted(request, 40_000)
    assert result.request is request
    assert not result.cuts.any
    assert result.header() == "none"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(requests(), st.integers(64, 4000), st.booleans())
def test_what_comes_out_fits_or_states_the_excess(
    request: dict[str, Any], window: int, names_tools: bool
) -> None:
    before = copy.deepcopy(request)
    budget = budget_for(window, request.get("max_tokens"))
    try:
        result = fitted(request, window, names_tools=names_tools)
    except ContextLengthExceededError as error:
        assert error.over_tokens > 0
        assert error.limit_tokens == budget.hard_prompt_tokens
        return
    assert request == before
    exact = COUNTER.count_request(result.request)
    assert exact + result.request.get("max_tokens", budget.answer_tokens) <= window
    assert_well_formed(result.request, request)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(odd_requests(), st.integers(64, 2000), st.booleans())
def test_odd_content_is_cut_or_refused_but_never_breaks(
    request: dict[str, Any], window: int, names_tools: bool
) -> None:
    try:
        result = fitted(request, window, names_tools=names_tools)
    except ContextLengthExceededError:
        return
    assert COUNTER.count_request(result.request) <= budget_for(window).prompt_tokens
    emulate(result.request)


def test_a_schema_that_nests_endlessly_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(400):
        schema = {"properties": {"x": schema}}
    request = agent_request()
    request["tools"] = [{"type": "function", "function": {"name": "deep", "parameters": schema}}]
    with pytest.raises(ToolTooDeepError, match="deep"):
        fitted(request, 2048)


def assert_well_formed(after: Any, before: dict[str, Any]) -> None:
    last_user = [m for m in before["messages"] if m["role"] == "user"][-1]
    assert any(asked_in(m).endswith(asked_in(last_user)) for m in after["messages"])
    open_calls: set[str] = set()
    for message in after["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] in open_calls
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls, "a call was parted from its result"
        for call in message.get("tool_calls") or ():
            json.loads(call["function"]["arguments"])
            open_calls.add(call["id"])
    assert not open_calls
    kept = set(names(after))
    assert kept <= set(names(before))
    named = {before["tool_choice"]["function"]["name"]} if "tool_choice" in before else set()
    assert named <= kept
    used = used_tools(before["messages"]) & set(names(before))
    if not used <= kept:  # only the core is worth more than what was used
        offered = names(before)
        assert kept <= {offered[i] for i in core_tools(tuple(offered))} | used | named


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(requests(), st.integers(200, 2000), st.booleans())
def test_the_same_request_is_always_cut_the_same_way(
    request: dict[str, Any], window: int, names_tools: bool
) -> None:
    try:
        first = fitted(request, window, names_tools=names_tools)
    except ContextLengthExceededError:
        return
    assert fitted(copy.deepcopy(request), window, names_tools=names_tools) == first


@given(requests(), st.integers(64, 2000))
def test_tools_are_never_named_at_the_price_of_an_answer(
    request: dict[str, Any], window: int
) -> None:
    try:
        fitted(request, window)
    except ContextLengthExceededError:
        return
    fitted(request, window, names_tools=True)


@pytest.mark.parametrize("window", [2048, 4096, 8192, 16384, 32768])
def test_thirty_turns_of_an_agent_fit_every_window(window: int) -> None:
    for request in growing_conversation(30):
        result = fitted(request, window)
        assert COUNTER.count_request(result.request) <= budget_for(window).prompt_tokens
        assert_well_formed(result.request, request)


def test_the_prefix_stays_the_same_over_turns() -> None:
    texts = [
        json.dumps([r.request.get("tools"), r.request["messages"]], ensure_ascii=False)
        for r in (fitted(request, 8192) for request in growing_conversation(30))
    ]
    shares = [
        len(_common(before, after)) / len(after) for before, after in itertools.pairwise(texts)
    ]
    assert sum(shares) / len(shares) >= 0.8


def _common(before: str, after: str) -> str:
    pairs = zip(before, after, strict=False)
    return "".join(a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


CORE = (
    *("read_file", "list_dir", "file_search", "grep_search"),
    *("create_file", "replace_string_in_file", "get_errors", "run_in_terminal"),
)
SIX_TURNS = load(FIXTURES / "six_turns_local.json.gz")


@pytest.mark.parametrize("window", [4096, 8192, 16384])
def test_core_tools_stay_and_the_room_is_used_in_every_request_of_six_turns(window: int) -> None:
    limit = budget_for(window).prompt_tokens
    for request in SIX_TURNS:
        result = fitted(request, window)
        assert set(CORE) <= set(names(result.request))
        assert result.prompt_tokens is not None
        assert limit * 0.9 <= result.prompt_tokens <= limit
        assert_well_formed(result.request, request)


@pytest.mark.parametrize("recorded", ["six_turns_local.json.gz", "six_turns_copilot.json.gz"])
def test_what_a_step_has_just_read_is_not_the_first_to_go(recorded: str) -> None:
    """The newest result keeps a tenth of the prompt at least, and its beginning and end."""
    for request in load(FIXTURES / recorded):
        *_, newest = request["messages"]
        if newest["role"] != "tool":
            continue
        sent = fitted(request, 8192).request["messages"][-1]["content"]
        least = min(len(newest["content"]), 2000)
        assert len(sent) >= least
        assert sent[:200] == newest["content"][:200]
        assert sent[-200:] == newest["content"][-200:]


def test_a_tool_that_a_later_question_needs_comes_behind_the_others() -> None:
    """The offer before it stays as it was, so that the engine reads only what follows it anew."""
    todo = next(r for r in SIX_TURNS if "todo list" in str(r["messages"][-1].get("content")))
    before = [r for r in SIX_TURNS if len(r["messages"]) < len(todo["messages"])][-1]
    assert "manage_todo_list" not in names(fitted(before, 8192).request)
    assert names(fitted(todo, 8192).request)[-1] == "manage_todo_list"


def test_the_history_makes_room_for_such_a_tool_when_it_comes_and_not_a_turn_later() -> None:
    """The engine reads the history again when a tool comes, and then not until it is full."""
    head = StableHead()
    sent = [fitted(head.keep(dict(request)).request, 8192).request for request in SIX_TURNS]
    asked = next(i for i, r in enumerate(sent) if "manage_todo_list" in names(r))
    texts = [json.dumps([r["tools"], r["messages"]]) for r in sent[asked : asked + 2]]
    assert len(_common(*texts)) > 0.95 * len(texts[1])


def test_a_long_attachment_is_shortened_and_the_request_around_it_is_not() -> None:
    attachment = "\n".join(f"line {i} of the attachment" for i in range(2000))
    asked = "<userRequest>\nWhat is this?\n</userRequest>"
    content = f"<attachment>\n{attachment}\n</attachment>\n{asked}"
    request = {"model": "m", "messages": [{"role": "user", "content": content}]}
    result = fitted(request, 2048)
    sent = result.request["messages"][0]["content"]
    assert sent.endswith(asked)
    assert sent.startswith("<attachment>\nline 0 of the attachment")
    assert "left out ...]" in sent


def test_attached_files_are_shortened_before_core_tools_go() -> None:
    """Claude Code reads files again after a summary, and marks no request."""
    words = "The work is summarised here.\nGo on with part 2."
    attached = [
        f"<system-reminder>\n{number} " + "a line of the file\n" * 900 + "</system-reminder>"
        for number in range(3)
    ]
    request = agent_request("x")
    request["messages"][-1] = {"role": "user", "content": "\n".join([*attached, words])}
    result = fitted(request, 8192)
    sent = result.request["messages"][-1]["content"]
    assert set(CORE) <= set(names(result.request))
    assert sent.endswith(words)
    assert sent.count("left out ...]") == 3
    assert result.prompt_tokens is not None
    assert result.prompt_tokens >= 0.9 * budget_for(8192).prompt_tokens


INSTRUCTIONS = "# Environment\n" + "You are on Linux, in a terminal.\n" * 120 + "Today is Friday."


def instructed(steps: int) -> dict[str, Any]:
    """An agent's request with a system message behind the question, as Claude Code sends it."""
    request = agent_request("Read all files.")
    request["messages"].append({"role": "system", "content": INSTRUCTIONS})
    for number in range(steps):
        result = f"a line of file {number}\n" * 400
        request["messages"] += called(number, "read_file", result, path=str(number))
    return request


def test_a_system_message_in_the_conversation_outlives_optional_tools_and_old_steps() -> None:
    for steps in (0, 4, 11):
        result = fitted(instructed(steps), 8192)
        sent = [m["content"] for m in result.request["messages"] if m["role"] == "system"]
        assert sent[-1] == INSTRUCTIONS
        assert set(CORE) <= set(names(result.request))
    assert result.cuts.messages_dropped
    assert result.cuts.tools_dropped


def test_a_system_message_in_the_conversation_is_shortened_where_it_leaves_no_room() -> None:
    result = fitted(instructed(6), 2500)
    sent = next(m for m in result.request["messages"][1:] if m["role"] == "system")["content"]
    assert sent.startswith("# Environment")
    assert sent.endswith("Today is Friday.")
    assert "left out ...]" in sent
    assert names(result.request)


def test_more_system_messages_than_there_is_room_for_refuse_nothing() -> None:
    request = instructed(0)
    reminder = {"role": "system", "content": "Remember the rules."}
    request["messages"] += [reminder] * 600 + [{"role": "user", "content": "Go on."}]
    result = fitted(request, 2048)
    assert result.request["messages"][-1]["content"] == "Go on."


@pytest.mark.parametrize("window", [8192, 16384])
def test_the_folders_of_the_workspace_outlive_the_message_that_named_them(window: int) -> None:
    """VS Code names them in the first message of a chat only; paths have to be absolute."""
    dropped = 0
    for request in SIX_TURNS:
        result = fitted(request, window)
        dropped += bool(result.cuts.messages_dropped)
        sent = "".join(str(message.get("content")) for message in result.request["messages"][1:])
        assert sent.count("<workspace_info>") == 1
    assert dropped


def called(number: int, name: str, result: str, **arguments: Any) -> list[dict[str, Any]]:
    """A call with its result."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": result},
    ]


def test_a_tool_with_a_huge_schema_gives_way_to_the_conversation_that_called_it() -> None:
    request = agent_request("Go on.")
    choices = {"type": "string", "enum": [f"value_{i}" for i in range(20)]}
    huge = copy.deepcopy(request["tools"][0])
    huge["function"] |= {
        "name": "mcp_huge",
        "parameters": {"type": "object", "properties": {f"key_{i}": choices for i in range(99)}},
    }
    request["tools"].append(huge)
    request["messages"] += called(1, "mcp_huge", "found it\n" * 50, key_1="value_1")
    result = fitted(request, 8192)
    assert set(CORE) <= set(names(result.request))
    assert "mcp_huge" not in names(result.request)
    assert result.request["messages"][-2:] == request["messages"][-2:]


def test_files_that_the_model_has_just_written_leave_the_core_tools_in_place() -> None:
    """Of long arguments only the middle goes, in the newest step as in those before."""
    request = agent_request("Create the modules.")
    source = "\n".join(f"value_{i} = load_value({i}, 'name')" for i in range(120))
    for number in range(6):
        path = f"/home/user/project/{number}.py"
        steps = called(number, "create_file", "Created.", filePath=path, content=source)
        request["messages"] += steps
        result = fitted(request, 3072)
        assert set(CORE) <= set(names(result.request))
        assert result.prompt_tokens is not None
        assert result.prompt_tokens >= 0.9 * budget_for(3072).prompt_tokens
        assert_well_formed(result.request, request)


def test_arguments_that_a_client_escaped_are_counted_as_they_are_rendered() -> None:
    written = [
        {"name": "say", "arguments": json.dumps({"text": "größer – 大"}, ensure_ascii=escaped)}
        for escaped in (True, False)
    ]
    escaped, plain = ({"tool_calls": [{"function": function}]} for function in written)
    assert piece_of(escaped) == piece_of(plain)


def test_a_shortened_system_prompt_takes_what_it_is_counted_as() -> None:
    text = "".join(f"Rule {i}. " + "Never do this, nor that. " * 20 + "\n" for i in range(30))
    whole = COUNTER.count_strings([text])[0]
    system = SystemPrompt([{"role": "system", "content": text}], whole + 4, 4)
    for wanted in (whole // 2, whole // 10, whole // 3):
        system.resize(wanted)
        drive(system.settle(), COUNTER)
        (sent,) = system.messages()
        assert system.is_cut
        assert system.tokens == COUNTER.count_strings([sent["content"]])[0] + 4
    system.resize(whole + 4)
    assert not system.is_cut
    assert system.messages() == [{"role": "system", "content": text}]


def test_old_results_give_way_before_old_turns_do() -> None:
    results = [fitted(request, 8192).cuts for request in SIX_TURNS]
    first_dropped = next(i for i, cuts in enumerate(results) if cuts.messages_dropped)
    assert any(cuts.results_shortened for cuts in results[:first_dropped])


@given(st.text(max_size=600), st.integers(0, 700), st.booleans())
def test_shortening_never_lengthens(text: str, keep_chars: int, prose: bool) -> None:
    for role in ("tool", "user", "assistant"):
        content = f"{text}<userRequest>why?</userRequest>{text}" if role == "user" else text
        cap = Cap(keep_chars, prose)
        short = shorten({"role": role, "content": content}, cap)["content"]
        assert len(short) <= len(content)
        assert prose or role != "user" or "<userRequest>why?</userRequest>" in short


def test_texts_inside_the_lists_of_a_calls_arguments_are_shortened_too() -> None:
    edits = [{"old": "a line\n" * 200, "line": 7}, {"old": "short"}]
    (message, _) = called(1, "edit", "", edits=edits)
    (call,) = shorten(message, Cap(0))["tool_calls"]
    short, kept = json.loads(call["function"]["arguments"])["edits"]
    assert "left out ...]" in short["old"]
    assert len(short["old"]) < 160
    assert (short["line"], kept) == (7, edits[1])


def test_schemas_shrink_before_tools_go() -> None:
    request = agent_request()
    size = COUNTER.count_request(request)
    results = [fitted(request, int(size * part) * 4 // 3) for part in (0.95, 0.7, 0.5, 0.2)]
    levels = [result.cuts.schemas for result in results]
    assert levels == sorted(levels, key=["as sent", "compact", "short", "minimal"].index)
    assert results[0].cuts.tools_dropped == ()
    assert results[-1].cuts.tools_dropped != ()
    for result in results:
        assert not result.cuts.tools_dropped or result.cuts.schemas == "minimal"


def test_old_results_shrink_before_turns_go() -> None:
    result_text = "\n".join(f"line {i} of the file" for i in range(400))
    call = {"id": "c", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
    old = [
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": result_text},
        {"role": "assistant", "content": "done"},
    ]
    request = {"model": "m", "messages": [*old, {"role": "user", "content": "second question"}]}
    result = fitted(request, 2000)
    assert result.cuts.messages_dropped == 0
    assert result.cuts.results_shortened == 1
    short = result.request["messages"][2]["content"]
    assert short.startswith("line 0 of the file\n")
    assert short.endswith("line 399 of the file")
    assert "lines left out" in short


def test_oldest_turns_go_with_one_line_that_states_it() -> None:
    turns = [
        {"role": role, "content": f"{role} {i} " + "word " * 100}
        for i in range(20)
        for role in ("user", "assistant")
    ]
    head = {"role": "system", "content": "You help."}
    last = {"role": "user", "content": "and now?"}
    request = {"model": "m", "messages": [head, *turns, last]}
    result = fitted(request, 2048)
    kept = result.request["messages"]
    assert result.cuts.messages_dropped > 0
    assert kept[0]["content"] == f"You help.\n{MARKER}"
    assert kept[3:] == [*turns, last][-len(kept) + 3 :]
    assert [message["role"] for message in kept[1:3]] == ["user", "assistant"]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(prose_talks(), st.sampled_from([1024, 2048, 4096]))
def test_the_room_is_used_however_long_the_texts_of_a_talk_are(
    request: dict[str, Any], window: int
) -> None:
    """A turn that does not fit whole is sent in part: its beginning, a note, and its end."""
    result, budget = fitted(request, window), budget_for(window)
    assert result.prompt_tokens is not None or not result.cuts.any
    if result.cuts.any:
        assert result.prompt_tokens is not None
        assert budget.prompt_tokens * 0.9 <= result.prompt_tokens <= budget.prompt_tokens
    assert_well_formed(result.request, request)


def test_a_long_old_turn_is_shortened_once_and_then_stays_as_it_is() -> None:
    question = "Why is that? " * 8
    long = {"role": "user", "content": "\n".join(f"line {i} of what I wrote" for i in range(260))}
    messages = [long, {"role": "assistant", "content": "I see."}]
    sent = []
    for _ in range(4):
        messages.append({"role": "user", "content": question})
        sent.append(fitted({"model": "m", "messages": messages}, 2048).request["messages"])
        messages.append({"role": "assistant", "content": "So."})
    cut = [s for s in sent if s[:1] != [long]]
    assert len(cut) > 1
    assert all(after[: len(before)] == before for before, after in itertools.pairwise(cut))
    assert any("left out ...]" in str(message["content"]) for message in cut[0])


def test_the_folders_of_the_workspace_outlive_a_first_message_that_is_sent_in_part() -> None:
    folders = "<workspace_info>\nThe folder is /home/user/project.\n</workspace_info>\n"
    first = folders + "word " * 900 + folders.replace("workspace_info", "other_info")
    messages = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "word " * 900},
    ]
    sent = fitted({"model": "m", "messages": messages}, 2048).request["messages"]
    assert sent[-1]["content"].startswith("<workspace_info>")
    assert sent[-1]["content"].endswith(messages[-1]["content"])


def test_the_system_prompt_is_cut_last_and_keeps_both_ends() -> None:
    system = "Begin. " + "Rule about something. " * 600 + "End."
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "hi"}]
    result = fitted({"model": "m", "messages": messages}, 1024)
    short = result.request["messages"][0]["content"]
    assert short.startswith("Begin.")
    assert short.endswith(f"End.\n{MARKER}")
    assert result.cuts.system_chars_cut == len(system) - len(short.removesuffix(f"\n{MARKER}"))


def test_a_last_message_that_is_too_long_is_refused_with_its_excess() -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "word " * 5000}]}
    with pytest.raises(ContextLengthExceededError) as caught:
        fitted(request, 2048)
    assert caught.value.over_tokens == 5004 - 1536
    assert str(5004 - 1536) in caught.value.what


def test_a_lack_of_time_alone_refuses_nothing() -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "word " * 5000}]}
    assert fitted(request, 32768, max_prompt_tokens=2000).prompt_tokens == 5004


def test_too_large_a_max_tokens_is_clamped_and_an_absent_one_left_alone() -> None:
    messages = [{"role": "user", "content": "word " * 100}]
    clamped = fitted({"model": "m", "messages": messages, "max_tokens": 10**6}, 2048)
    assert clamped.request["max_tokens"] == clamped.max_tokens == 2048 - 104
    assert "max_tokens" not in fitted({"model": "m", "messages": messages}, 2048).request
    null = {"messages": messages, "max_completion_tokens": None, "max_tokens": 10**6}
    assert fitted(null, 2048).request["max_tokens"] == 2048 - 104


def test_the_record_names_tools_and_holds_no_content() -> None:
    result = fitted(agent_request("a secret question"), 4096)
    assert result.cuts.tools_kept + len(result.cuts.tools_dropped) == 39
    assert "secret" not in result.header() + repr(result.cuts)
    assert result.header().startswith("schemas=minimal; tools=39>")
    assert result.header().isascii()


def test_calibration_measures_what_a_template_adds() -> None:
    assert isinstance(CALIBRATION, Calibration)
    assert 0.9 < CALIBRATION.tool_factor < 1.1
    assert CALIBRATION.message_tokens == 4


class WrittenByATemplate(WordCounter):
    """Counts the words of a prompt as a real template writes it."""

    def __init__(self) -> None:
        super().__init__()
        self._template = ChatTemplate((FIXTURES.parent / "chatml_hermes.jinja").read_text())

    def count_request(self, request: Request) -> int:
        return self.count_strings([self._template.render(request)])[0]


def test_calibration_measures_what_a_call_and_its_result_add() -> None:
    """What an estimate is off grows with each step of an agent, and its cuts move."""
    counter = WrittenByATemplate()
    known = drive(calibrate(), counter)
    measured = drive(calibrate_calls(known), counter)
    messages = SIX_TURNS[-1]["messages"]
    exact = counter.count_request({"messages": messages})
    pieces = sum(counter.count_strings([piece_of(message) for message in messages]))
    off = [
        abs(exact - known.base_tokens - pieces - sum(map(each.message_overhead, messages)))
        for each in (known, measured)
    ]
    calls = sum(len(message.get("tool_calls") or ()) for message in messages)
    assert off[0] > 3 * calls > off[1]


class WholeRequestsOnly:
    """Counts a token for so many bytes of a request, and no texts: those are estimated."""

    def __init__(self, bytes_per_token: float) -> None:
        self._bytes_per_token = bytes_per_token

    def count_strings(self, texts: Sequence[str]) -> list[int]:
        return estimate_strings(texts)

    def count_request(self, request: Request) -> int:
        texts = [json.dumps(request["messages"]), json.dumps(request.get("tools", ""))]
        return int(sum(map(len, texts)) / self._bytes_per_token)


def talk(turns: int) -> dict[str, Any]:
    """A conversation in prose, of 70 words a message."""
    text = " ".join(["prompt"] * 70)
    turn = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    return {"messages": [*turn * turns, {"role": "user", "content": "And in short?"}]}


@pytest.mark.parametrize("bytes_per_token", [2.2, 3, 4, 5, 6.5])
@pytest.mark.parametrize("request_", [talk(60), SIX_TURNS[0], SIX_TURNS[-1]])
def test_the_room_is_used_where_texts_are_only_estimated(
    request_: dict[str, Any], bytes_per_token: float
) -> None:
    """3 bytes a token is too many for code in some scripts, and too few for prose."""
    counter, budget = WholeRequestsOnly(bytes_per_token), budget_for(4096)
    measured = drive(calibrate(), counter)
    result = drive(fit(request_, budget, calibration=measured), counter)
    assert result.cuts.any
    assert result.prompt_tokens == counter.count_request(result.request)
    assert budget.prompt_tokens * 0.9 <= result.prompt_tokens <= budget.prompt_tokens


def test_a_request_that_fits_is_not_cut_however_long_its_tokens_are() -> None:
    counter = WholeRequestsOnly(12)
    result = drive(fit(SIX_TURNS[0], budget_for(16384)), counter)
    assert not result.cuts.any
    assert result.prompt_tokens == counter.count_request(SIX_TURNS[0])


@pytest.mark.parametrize("turns", range(12, 24))
def test_turns_that_still_fit_whole_are_not_left_out(turns: int) -> None:
    result = fitted(talk(turns), 2048)
    assert result.prompt_tokens is not None
    assert 1536 * 0.9 <= result.prompt_tokens <= 1536
