"""The beginning of a client's prompts stays as the backend has read it."""

from __future__ import annotations

from typing import Any

from tests.support.recorded import FIXTURES, load

from stoker.gateway.prompt.stable_head import StableHead
from stoker.tokens.chat_messages import text_of

SIX_TURNS = load(FIXTURES / "six_turns_local.json.gz")
SYSTEM = "\n".join(f"Rule {number} of this project." for number in range(100))


def chat(system: str, *asked: str) -> dict[str, Any]:
    """A conversation with a question a turn."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
    for question in asked:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": "ok"}]
    return {"messages": messages[:-1]}


def test_vs_codes_system_prompt_stays_the_same_through_six_turns() -> None:
    """It adds skills at the second question: they stand there, and stay there."""
    head = StableHead()
    kept = [head.keep(dict(request)) for request in SIX_TURNS]
    assert len({text_of(each.request["messages"][0]["content"]) for each in kept}) == 1
    moved = [each for each in kept if each.moved_chars]
    places = {
        next(at for at, m in enumerate(each.request["messages"]) if "<skills>" in str(m["content"]))
        for each in moved
    }
    assert len(places) == 1
    assert len(moved) >= 10


def test_the_longer_prompt_gives_way_to_the_shorter_one() -> None:
    """Whichever came first, both conversations begin alike from then on."""
    head = StableHead()
    grown = f"{SYSTEM}\nA rule more."
    head.keep(chat(grown, "a"))
    head.keep(chat(SYSTEM, "b"))
    assert head.keep(chat(grown, "c")).request["messages"][0]["content"] == SYSTEM


def test_prompts_of_other_tasks_in_between_change_nothing() -> None:
    """An editor asks for titles and summaries with system prompts of their own."""
    head = StableHead()
    head.keep(chat(SYSTEM, "a"))
    head.keep(chat(SYSTEM.replace("Rule", "Title"), "a"))
    assert head.keep(chat(f"{SYSTEM}\nMore.", "a", "b")).moved_chars == len("\nMore.")


def test_what_was_added_stays_with_the_question_at_which_it_came() -> None:
    """Later questions do not take it along; another conversation has it at its own."""
    head = StableHead()
    grown = f"{SYSTEM}\nMore."
    head.keep(chat(SYSTEM, "a"))
    for asked in (("a", "b"), ("a", "b", "c")):
        messages = head.keep(chat(grown, *asked)).request["messages"]
        assert [at for at, m in enumerate(messages) if "More." in m["content"]] == [3]
    messages = head.keep(chat(grown, "d")).request["messages"]
    assert [at for at, m in enumerate(messages) if "More." in m["content"]] == [1]


def test_a_conversation_that_was_cut_short_has_it_at_its_newest_question() -> None:
    """The message that carried it is gone: the client has put a summary in its place."""
    head = StableHead()
    grown = f"{SYSTEM}\nMore."
    head.keep(chat(SYSTEM, "a"))
    head.keep(chat(grown, "a", "b", "c"))
    messages = head.keep(chat(grown, "a")).request["messages"]
    assert "More." in messages[1]["content"]


def test_a_short_or_a_divided_system_prompt_is_left_alone() -> None:
    """There is little to read again, or no one text to compare."""
    head = StableHead()
    head.keep(chat("Be brief.", "a"))
    assert head.keep(chat("Be brief.\nNow.", "a")).moved_chars == 0
    two = [{"role": "system", "content": SYSTEM}] * 2 + [{"role": "user", "content": "a"}]
    assert head.keep({"messages": two}).request["messages"] == two
