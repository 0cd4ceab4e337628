"""Every client of the table: its files are written, kept, found broken, and given back."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stoker import clients
from stoker.clients import CLIENTS, Client, ConfigFile, Connection, Places
from stoker.config_files import FormatName, file_format, path_in_file
from stoker.errors import StokerError

TO = Connection("http://127.0.0.1:8000", "org/model-7b", 32768, 4096, None)
WITH_KEY = replace(TO, key_variable="TEAM_KEY")
WRITTEN = [each for each in CLIENTS if each.name not in ("copilot-cli", "jetbrains")]
ALL = pytest.mark.parametrize("client", WRITTEN, ids=lambda each: each.name)

#: A person's own file of each format, with comments and an odd layout.
OWN: dict[FormatName, str] = {
    "json": '// mine\n{\n  "theme": "dark", // at night\n  "env": {"A": "1"},\n'
    '  "mcp": {\n    "x": [1, 2,],\n  },\n}\n',
    "toml": '# mine\napproval = "never" # always\n\n[mcp.x]\nargs = [\n  "a", # first\n]\n',
    "yaml": "# mine\ntheme:   dark # at night\n\nllm:\n    temperature: 0 # cold\n# the end\n",
    "env": "# mine\nOTHER=1\n",
}
#: llm's file is a list.
OWN_LIST = "# mine\n- model_id: other # his\n  model_name: x\n"
BROKEN: dict[FormatName, str] = {
    "json": '{\n  "a": 1,\n  "b" 2\n}\n',
    "toml": "a = 1\n\nb = = 2\n",
    "yaml": "a: 1\n\nb: [1, 2\n",
    "env": "A=1\n\nwhat is this\n",
}


@pytest.fixture
def places(home: Path) -> Places:
    return Places(home, home / ".config", home / ".config")


def own(client: Client, file: ConfigFile) -> str:
    return OWN_LIST if client.name == "llm" else OWN[file.format]


def write_own(client: Client, places: Places) -> dict[Path, bytes]:
    """Gives the person a file of their own in every place. Returns the bytes."""
    for file in client.files(places, TO):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(own(client, file))
        file.path.chmod(0o640)
    return bytes_of(client, places)


def bytes_of(client: Client, places: Places) -> dict[Path, bytes]:
    return {f.path: f.path.read_bytes() for f in client.files(places, TO) if f.path.exists()}


def document(file: ConfigFile) -> Any:
    return file_format(file.format).values(file.path.read_text())


@ALL
def test_a_fresh_file_holds_what_the_client_needs_and_is_removed_again(
    client: Client, places: Places
) -> None:
    assert len(clients.connect(client, TO, places)) == len(client.files(places, TO))
    for file in client.files(places, TO):
        for keys, value in {**file.required, **file.values}.items():
            assert path_in_file.get(document(file), keys) == value
        assert file.path.stat().st_mode & 0o777 == 0o600
    undone = clients.disconnect(client)
    assert [each.problem for each in undone] == [None] * len(undone)
    assert list(places.home.iterdir()) == [places.home / "stoker"]
    assert clients.connected_files() == ()


@ALL
def test_the_owners_file_keeps_every_line_and_its_mode(client: Client, places: Places) -> None:
    write_own(client, places)
    clients.connect(client, TO, places)
    for file in client.files(places, TO):
        before = file_format(file.format).values(own(client, file))
        expected = before
        for keys, value in file.values.items():
            expected = path_in_file.put(expected, keys, value)
        found = document(file)
        for keys in file.required:
            expected = path_in_file.put(expected, keys, path_in_file.get(found, keys))
        assert found == expected
        text = file.path.read_text()
        comments = [line for line in own(client, file).splitlines() if "#" in line or "//" in line]
        assert [line for line in comments if line.strip() not in text] == []
        assert file.path.stat().st_mode & 0o777 == 0o640


@ALL
def test_connecting_twice_gives_the_same_bytes(client: Client, places: Places) -> None:
    write_own(client, places)
    clients.connect(client, TO, places)
    once = bytes_of(client, places)
    clients.connect(client, TO, places)
    assert bytes_of(client, places) == once


@ALL
def test_undoing_gives_back_every_byte_after_several_connections(
    client: Client, places: Places
) -> None:
    before = write_own(client, places)
    clients.connect(client, TO, places)
    clients.connect(client, WITH_KEY, places)
    clients.connect(client, replace(TO, model="other", max_model_len=8192), places)
    clients.disconnect(client)
    assert bytes_of(client, places) == before


@ALL
def test_what_the_owner_changed_since_stays(client: Client, places: Places) -> None:
    write_own(client, places)
    clients.connect(client, TO, places)
    for file in client.files(places, TO):
        file.path.write_text(file.path.read_text().replace("# mine", "# ours", 1))
        file.path.write_text(file.path.read_text().replace("// mine", "// ours", 1))
    clients.disconnect(client)
    for file in client.files(places, TO):
        form = file_format(file.format)
        assert form.values(file.path.read_text()) == form.values(own(client, file))
        assert "ours" in file.path.read_text()


@ALL
def test_a_broken_file_is_refused_with_its_line_and_nothing_is_written(
    client: Client, places: Places
) -> None:
    write_own(client, places)
    last = client.files(places, TO)[-1]
    last.path.write_text(BROKEN[last.format])
    before = bytes_of(client, places)
    with pytest.raises(StokerError) as raised:
        clients.connect(client, TO, places)
    assert str(last.path) in raised.value.what
    assert "line" in raised.value.why
    assert bytes_of(client, places) == before
    assert clients.connected_files() == ()


@ALL
def test_a_link_a_read_only_file_and_a_folder_are_refused(client: Client, places: Places) -> None:
    write_own(client, places)
    file = client.files(places, TO)[-1]
    file.path.chmod(0o440)
    with pytest.raises(StokerError, match="read-only"):
        clients.connect(client, TO, places)
    elsewhere = file.path.with_name("managed")
    file.path.rename(elsewhere)
    file.path.symlink_to(elsewhere)
    with pytest.raises(StokerError, match="symbolic link"):
        clients.connect(client, TO, places)
    file.path.unlink()
    file.path.mkdir()
    with pytest.raises(StokerError, match="not a regular file"):
        clients.connect(client, TO, places)
    assert clients.connected_files() == ()


def test_a_file_of_another_user_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    client = WRITTEN[0]
    before = write_own(client, places)
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(StokerError, match="another user"):
        clients.connect(client, TO, places)
    assert bytes_of(client, places) == before


@ALL
def test_the_key_itself_is_in_no_file(
    client: Client, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_KEY", "a-secret")
    clients.connect(client, WITH_KEY, places)
    for content in bytes_of(client, places).values():
        assert b"a-secret" not in content
        assert b"not-needed" not in content
    named = "".join(content.decode() for content in bytes_of(client, places).values())
    reported = str(client.variables(WITH_KEY)) + str(client.steps(WITH_KEY)) + named
    assert "TEAM_KEY" in reported


@ALL
def test_a_key_that_is_needed_no_more_leaves_the_file(client: Client, places: Places) -> None:
    clients.connect(client, WITH_KEY, places)
    with_key = bytes_of(client, places)
    clients.connect(client, TO, places)
    clients.connect(client, WITH_KEY, places)
    values = {path: content.split() for path, content in bytes_of(client, places).items()}
    assert {p: sorted(v) for p, v in values.items()} == {
        p: sorted(content.split()) for p, content in with_key.items()
    }


@ALL
def test_an_unknown_window_is_left_out_rather_than_invented(client: Client, places: Places) -> None:
    unknown = replace(TO, max_model_len=None, max_output_tokens=None)
    text = "".join(clients.as_new_file(file) for file in client.files(places, unknown))
    assert "None" not in text
    assert "null" not in text


@pytest.mark.parametrize("client", CLIENTS, ids=lambda each: each.name)
def test_the_base_url_ends_in_v1_except_for_the_messages_api(
    client: Client, places: Places
) -> None:
    files = "".join(clients.as_new_file(file) for file in client.files(places, TO))
    everything = files + json.dumps(dict(client.variables(TO))) + " ".join(client.steps(TO))
    assert (f"{TO.endpoint}/v1" in everything) is (client.api != "messages")
    assert TO.endpoint in everything


def test_the_window_and_the_longest_answer_are_what_the_gateway_keeps() -> None:
    to = clients.connection_to("http://127.0.0.1:8000", "m", 8192, None)
    assert (to.max_output_tokens, to.max_prompt_tokens) == (2048, 6144)
    assert clients.connection_to("http://127.0.0.1:8000", "m", None, None).max_prompt_tokens is None


@pytest.mark.parametrize(
    ("max_model_len", "written"),
    [(8192, None), (32768, None), (65536, "65536"), (131072, "131072")],
)
def test_claude_code_gets_its_window_where_it_can_work_in_it(
    max_model_len: int, written: str | None, places: Places
) -> None:
    client = next(each for each in CLIENTS if each.name == "claude-code")
    clients.connect(client, replace(TO, max_model_len=262144), places)
    to = replace(TO, max_model_len=max_model_len)
    clients.connect(client, to, places)
    (file,) = client.files(places, to)
    env = document(file)["env"]
    assert env.get("CLAUDE_CODE_MAX_CONTEXT_TOKENS") == written
    assert env["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "4096"
    assert bool(client.steps(to)) is (written is None)


@pytest.mark.parametrize(
    ("max_model_len", "written"), [(8192, None), (16384, None), (32768, "28672")]
)
def test_copilot_gets_a_prompt_limit_where_it_can_work_with_it(
    max_model_len: int, written: str | None
) -> None:
    client = next(each for each in CLIENTS if each.name == "copilot-cli")
    to = replace(TO, max_model_len=max_model_len)
    assert client.variables(to).get("COPILOT_PROVIDER_MAX_PROMPT_TOKENS") == written
    assert client.variables(to)["COPILOT_PROVIDER_MAX_OUTPUT_TOKENS"] == "4096"
    assert bool(client.steps(to)) is (written is None)


@pytest.mark.parametrize(
    ("name", "max_model_len", "is_written"),
    [
        *(("qwen-code", 8192, False), ("qwen-code", 16384, True)),
        *(("cline", 16384, False), ("cline", 32768, True)),
        ("opencode", 8192, True),
    ],
)
def test_a_client_gets_a_window_that_it_can_work_in(
    name: str, max_model_len: int, is_written: bool, places: Places
) -> None:
    client = next(each for each in CLIENTS if each.name == name)
    to = replace(TO, max_model_len=max_model_len, max_output_tokens=2048)
    (file,) = client.files(places, to)
    written = json.dumps(list(file.values.values()))
    assert (str(max_model_len) in written) is is_written
    assert "2048" in written
    assert any("left out" in step for step in client.steps(to)) is not is_written


def test_each_client_has_a_name_and_a_file_of_its_own(places: Places) -> None:
    assert len({each.name for each in CLIENTS}) == len(CLIENTS)
    paths = [file.path for each in CLIENTS for file in each.files(places, TO)]
    assert len(set(paths)) == len(paths)


def test_a_client_is_installed_if_its_folder_or_its_command_is_there(
    places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    codex = next(each for each in CLIENTS if each.name == "codex")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not clients.is_installed(codex, places)
    (places.home / ".codex").mkdir()
    assert clients.is_installed(codex, places)
    (tmp_path / "opencode").touch(mode=0o755)
    assert clients.is_installed(next(c for c in CLIENTS if c.name == "opencode"), places)


def test_variables_that_move_a_clients_folder_are_followed(places: Places, tmp_path: Path) -> None:
    moved = replace(places, environment={"CODEX_HOME": str(tmp_path / "c")})
    codex = next(each for each in CLIENTS if each.name == "codex")
    assert codex.files(moved, TO)[0].path == tmp_path / "c/config.toml"


def test_a_value_that_the_client_writes_again_does_not_keep_half_of_the_settings(
    places: Places,
) -> None:
    """Cline refuses its file where a provider has a time of change and no settings."""
    cline = next(each for each in CLIENTS if each.name == "cline")
    clients.connect(cline, TO, places)
    (file,) = cline.files(places, TO)
    file.path.write_text(file.path.read_text().replace("2026-01-01", "2026-11-28"))
    clients.disconnect(cline)
    assert not file.path.exists()
