"""The glossary's lint finds what people wrote, on its line, and leaves code and quotes alone."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from scripts import check_words


def found(name: str, text: str) -> list[tuple[int, str]]:
    pieces = check_words.prose_in(Path(name), textwrap.dedent(text))
    return sorted(hit for prose in pieces for hit in check_words.hits_in(prose))


def test_a_word_in_markdown_is_found_on_its_line() -> None:
    assert found("page.md", "A heading\n\nThe log says why.\n") == [(3, "says")]


def test_a_phrase_counts_as_one_word() -> None:
    assert found("page.md", "It gave up for want of memory.") == [(1, "for want of")]


@pytest.mark.parametrize(
    "text",
    [
        "The key `said` holds it.",
        'VS Code prints "Nobody is signed in".',
        "```sh\nsay hello\n```",
        "[a link](tell/nobody.md)",
        "<!-- [[[cog x() ]]] -->\n| it says |\n<!-- [[[end]]] -->",
        "Aforesaid, essays and a sayer are other words.",
    ],
)
def test_code_quotes_links_and_generated_parts_are_not_read(text: str) -> None:
    assert found("page.md", text) == []


def test_after_a_code_block_lines_are_still_right() -> None:
    assert found("page.md", "```\nsays\n```\nNobody asks.\n") == [(4, "Nobody")]


def test_docstrings_comments_and_messages_of_python_are_read() -> None:
    source = '''\
        """Say why."""
        # nobody waits
        def f(said: str) -> str:
            return f"The server says {said}."
    '''
    assert found("module.py", source) == [(1, "Say"), (2, "nobody"), (4, "says")]


def test_names_and_keys_of_python_are_not_read() -> None:
    assert found("module.py", 'said = body["said"]\ntell(said)\n') == []


def test_a_word_in_a_joined_message_is_found_on_its_own_line() -> None:
    assert found("module.py", 'x = (\n    "One line, "\n    "and nobody reads it."\n)\n') == [
        (3, "nobody")
    ]


def test_an_example_of_speech_passes_in_a_message() -> None:
    assert found("module.py", 'ask("Say hello in one sentence.")\n') == []
    assert found("page.md", "Tell us which GPU it is.") == []


def test_comments_and_strings_of_typescript_are_read_and_its_code_is_not() -> None:
    source = """\
        // The server tells us.
        const told = 'nobody is "told"';
        /* two
           lines say */
        const x = `${said.says} somebody waits`;
    """
    assert found("module.ts", source) == [
        (1, "tells"),
        (2, "nobody"),
        (4, "say"),
        (5, "somebody"),
    ]


def test_texts_of_toml_are_read_and_what_engines_print_is_not() -> None:
    source = """\
        # what it says
        fix = "Ask whoever runs it."
        id = "says"
        texts = [{ text = "nobody said that", source = "somebody's log" }]
        link = "https://example.com"  # nobody reads it
    """
    assert found("data.toml", source) == [(1, "says"), (2, "whoever"), (5, "nobody")]


def test_a_hit_names_the_place_the_word_and_what_to_write() -> None:
    assert str(check_words.Hit("docs/page.md", 7, "Nobody")).startswith(
        'docs/page.md:7: "Nobody": write the user, a client, another process; no client.'
    )


def test_no_word_has_two_replacements() -> None:
    words = [word.lower() for term in check_words.TERMS for word in term.instead_of]
    assert len(words) == len(set(words))


def test_what_is_excepted_exists() -> None:
    assert all((check_words.ROOT / path).exists() for path in check_words.PROMPTS)


def test_the_prompts_that_are_sent_to_models_are_not_read() -> None:
    assert not any(hit.path.endswith("agent_tools.py") for hit in check_words.hits())


def test_the_glossary_has_a_row_for_each_term() -> None:
    lines: list[str] = []
    check_words.glossary(lines.append)
    assert len(lines) - 1 == len(check_words.TERMS)
    assert "nobody" in "\n".join(lines)


def test_a_word_in_the_name_of_a_test_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = tmp_path / "tests" / "unit"
    tests.mkdir(parents=True)
    code = "\n\ndef test_it_says_why() -> None: ...\n\n\ndef test_it_essays() -> None: ...\n"
    (tests / "test_it.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(check_words, "ROOT", tmp_path)
    (hit,) = check_words.hits_in_test_names()
    assert str(hit).startswith('tests/unit/test_it.py:3: "says": write ')
