"""``stoker status`` shows how prompts were read: what the gateway's own metrics count."""

from __future__ import annotations

import http.server
import threading

import pytest

from stoker.cli.commands.status import _prompt_words, _reading_words
from stoker.gateway.usage.metrics import Metrics
from stoker.server import PrefillTotals, prefill_totals
from stoker.server.gateway_metrics import totals_in
from stoker.server.ports import any_free


def counted() -> Metrics:
    metrics = Metrics()
    for model in ('odd "name"} 5', "other"):
        for kind, tokens in (("read", 1000), ("cached", 9000), ("wasted", 100)):
            metrics.prefill.labels(model, kind).inc(tokens)
        metrics.prefill_saved.labels(model).inc(45.5)
    return metrics


def test_totals_are_those_of_all_models() -> None:
    assert totals_in(counted().text()) == PrefillTotals(2000, 18000, 200, 91.0)


def test_a_gateway_that_has_read_nothing_has_no_totals() -> None:
    assert totals_in(Metrics().text()) == PrefillTotals(0, 0, 0, 0.0)


def test_a_gateway_that_does_not_answer_has_none() -> None:
    assert prefill_totals(f"http://127.0.0.1:{any_free()}") is None


@pytest.mark.parametrize("status", [200, 401])
def test_totals_come_from_the_metrics_of_the_gateway_unless_it_wants_a_key(status: int) -> None:
    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(counted().text() if self.path == "/metrics" else b"")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        threading.Thread(target=gateway.handle_request).start()
        found = prefill_totals(f"http://127.0.0.1:{gateway.server_port}")
    assert found == (PrefillTotals(2000, 18000, 200, 91.0) if status == 200 else None)


def test_the_line_of_the_status_is_for_people() -> None:
    words = _prompt_words(PrefillTotals(2000, 18000, 200, 91.0))
    assert words == (
        "2,000 tokens read, of these 200 again; 18,000 (90%) from the cache, which saved 1 min 31 s"
    )


def test_a_prompt_that_is_being_read_is_shown_with_how_far_it_is() -> None:
    metrics = Metrics()
    metrics.reading.set(14_200)
    metrics.unread.set(9_230)
    totals = totals_in(metrics.text())
    assert (totals.reading_tokens, totals.unread_tokens) == (14_200, 9_230)
    assert _reading_words(totals) == "14,200 tokens, 35% done"
