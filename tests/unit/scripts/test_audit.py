"""The audit reports what is known, and says where nothing could be asked."""

from __future__ import annotations

import pytest
from scripts import audit


def test_a_vulnerability_is_named_with_the_version_that_fixes_it() -> None:
    known = [{"id": "PYSEC-1", "fix_versions": ["2.0"]}, {"id": "PYSEC-2", "fix_versions": []}]
    packages = [
        {"name": "a", "version": "1.0", "vulns": known},
        {"name": "b", "version": "1.0", "vulns": []},
        {"name": "c", "skip_reason": "not found"},
    ]
    assert audit.python_vulnerabilities({"dependencies": packages}) == [
        "a 1.0: PYSEC-1, fixed in 2.0",
        "a 1.0: PYSEC-2, fixed in no version",
    ]
    broken = {"name": "d", "range": "<2", "severity": "high"}
    assert audit.npm_vulnerabilities({"vulnerabilities": {"d": broken}}) == ["d <2: high"]


def test_an_index_that_does_not_answer_is_no_clean_bill() -> None:
    skipped = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
    assert audit.python_vulnerabilities(skipped) is None
    assert audit.npm_vulnerabilities({"message": "405"}) is None
    assert audit.python_vulnerabilities({"dependencies": [{"name": "a", "vulns": []}]}) == []
    assert audit.npm_vulnerabilities({"vulnerabilities": {}}) == []


def test_a_skipped_audit_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit._told("Python", "no JSON", audit.python_vulnerabilities) == []
    assert "skipped" in capsys.readouterr().out
