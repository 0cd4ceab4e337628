"""The check of the docs fails on what does not exist, and on pages that are too long."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import check_docs

#: Put together here, because the check also knows what stands in the tests' files.
UNKNOWN_NAME = "_".join(("no", "such", "name"))
UNKNOWN_OPTION = "-".join(("-", "no", "such", "option"))


def wrong(tmp_path: Path, text: str) -> list[str]:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return list(check_docs.wrong_in_page(page))


def test_a_page_that_names_what_exists_is_right(tmp_path: Path) -> None:
    commands = "`stoker up --yes`, `stoker keys create ann --json`, `make test`"
    text = f"# A page\n\nRun {commands}. See [above](#a-page) and `Makefile`."
    assert wrong(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("`stoker fly`", "there is no command `stoker fly`"),
        ("`stoker up --wings`", "`stoker up` takes no option --wings"),
        ("`stoker keys create ann --wings`", "`stoker keys` takes no option --wings"),
        ("`make tea`", "the Makefile has no target tea"),
        ("`src/stoker/nothing.py`", "there is no file src/stoker/nothing.py"),
        ("Set huggingface.nothing.", "there is no setting huggingface.nothing"),
        ("[x](nothing.md)", "the link nothing.md leads to no file"),
        ("[x](#nothing)", "the link #nothing leads to no heading"),
        ("![x](nothing.png)", "the link nothing.png leads to no file"),
        ("Set stoker.completion.nothing.", "there is no setting stoker.completion.nothing"),
        ("`--spare` is 7 by default.", "7 is not the default of --spare"),
        ("| | b |\n| --- | --- |\n", "a column of the table has no name: | | b |"),
        (f"Set `{UNKNOWN_NAME}`.", f"there is no name {UNKNOWN_NAME}"),
        (f"Pass `{UNKNOWN_OPTION}`.", f"there is no option {UNKNOWN_OPTION}"),
        (
            "```toml\n[gateway]\nprt = 1\n```",
            "[gateway] of the gateway's file has no setting prt",
        ),
        (
            "```sh\nstoker up   this machine\n```",
            "'stoker up   this machine': a remark behind a command begins with #",
        ),
        ("It ends with exit code 1.", "'exit code 1': write the exit code as a fact"),
        (
            "It takes 3 ms (`benchmarks/gateway.py`).",
            "'3 ms' beside a benchmark: write it as a fact",
        ),
        (
            "<!-- fact: run usage_cost.more_us -->5.7<!-- /fact --> us",
            "figures of usage_cost have no date beside them",
        ),
        ("The median was 7 ms.", "'7 ms' was measured: write it as a fact"),
        ("Two rounds differ by 3 to 8 %.", "'8 %' was measured: write it as a fact"),
        (
            "Recorded ones were 7 of the 8.",
            "'7 of the 8' was measured: write it as a fact",
        ),
        ("It came 5 % too early.", "'5 %' was measured: write it as a fact"),
    ],
)
def test_what_does_not_exist_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    assert wrong(tmp_path, text) == [complaint]


@pytest.mark.parametrize(
    "text",
    [
        "The median is that of 20 requests (goal: 15 %).",
        "A slice waits 5 ms. What it took was measured.",
        "It is within 7 % of four published measurements.",
        "It was [measured](https://example.org/speed) at 57 tokens/s.",
        "Prompts of 1,024 tokens were measured with `--seconds 5 s`.",
    ],
)
def test_a_limit_a_goal_and_a_published_figure_are_no_results(tmp_path: Path, text: str) -> None:
    assert wrong(tmp_path, text) == []


def test_an_anchor_is_looked_for_on_the_other_page(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One\n\n## `--fix`, and more\n", encoding="utf-8")
    assert wrong(tmp_path, "[x](other.md#--fix-and-more)") == []
    assert wrong(tmp_path, "[x](other.md#two)") == ["the link other.md#two leads to no heading"]


def test_the_second_heading_of_one_name_has_a_number(tmp_path: Path) -> None:
    assert wrong(tmp_path, "# Tools\n\n# Tools\n\n[second](#tools-1)\n") == []


def test_a_heading_in_a_code_block_is_no_heading(tmp_path: Path) -> None:
    assert wrong(tmp_path, "```sh\n# install\n```\n[x](#install)") == [
        "the link #install leads to no heading"
    ]


def test_a_page_is_read_in_five_minutes_less_what_is_generated(tmp_path: Path) -> None:
    generated = f"<!-- [[[cog x() ]]] -->\n{'word ' * 2000}\n<!-- [[[end]]] -->"
    assert wrong(tmp_path, generated) == []
    assert wrong(tmp_path, "word " * 1201) == ["it has 1201 words, and the limit is 1200"]


def test_commands_that_the_extension_lacks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(check_docs.wrong_in_extension()) == []
    titles = check_docs.palette() - {"Set API Key", "Start Local Server"}
    monkeypatch.setattr(check_docs, "palette", lambda: titles)
    wrong = list(check_docs.wrong_in_extension())
    assert "extension/media/endpoint.md: the extension has no command Stoker: Set API Key" in wrong
    assert "extension/media/server.md: the extension has no command Start Local Server" in wrong
    assert any(each.startswith("src/stoker/data/doctor.toml: ") for each in wrong)
