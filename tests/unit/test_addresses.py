"""What may be listened on, what only this machine reaches, and how an endpoint is written."""

from __future__ import annotations

import pytest

from stoker import addresses


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost", "gpu-1", "gpu1.example.com"]
)
def test_address_or_host_name_can_be_listened_on(host: str) -> None:
    assert addresses.is_bindable(host)


@pytest.mark.parametrize(
    "host", ["", " ", "0", "0x0", "0.0", "127.1", "[::1]", "127.0.0.1:80", "http://x", "a_b", "-a"]
)
def test_what_the_system_would_read_as_every_address_or_not_at_all_is_none(host: str) -> None:
    assert not addresses.is_bindable(host)


def test_loopback_is_what_only_this_machine_reaches() -> None:
    inside = ("127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost", "LOCALHOST")
    outside = ("", "0.0.0.0", "::", "192.168.1.2", "gpu1", "127.example.com")
    assert all(addresses.is_loopback(host) for host in inside)
    assert not any(addresses.is_loopback(host) for host in outside)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("gpu1", "http://gpu1:8000"),
    ],
)
def test_endpoint_is_a_url_that_programs_here_can_use(host: str, url: str) -> None:
    assert addresses.endpoint(host, 8000) == url
    assert addresses.is_url(url)


@pytest.mark.parametrize(
    "text", ["http://a:80001", "http://a:0", "http://a:x", "http://[::1:80", "ftp://a", "a:80", ""]
)
def test_impossible_url_is_told_from_one_that_only_does_not_answer(text: str) -> None:
    assert not addresses.is_url(text)
