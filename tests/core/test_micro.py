"""What a micro service says of itself, and how a report is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.core import micro


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def report(sources: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"version": 1, "headline": "h", "sources": sources, "alerts": [], "events": [], **more}


def test_subjects_of_an_instance() -> None:
    """Names become tokens; each subject is covered by a permission that names no instance."""
    assert micro.endpoint_subject("north", "status") == "bridge.srv.north.status"
    assert micro.endpoint_subject("büro.1 >", "reload") == "bridge.srv.b=C3=BCro=2E1=20=3E.reload"
    assert micro.control_subjects("X1") == {
        "$SRV.PING": "PING", "$SRV.PING.bridged": "PING", "$SRV.PING.bridged.X1": "PING",
        "$SRV.INFO": "INFO", "$SRV.INFO.bridged": "INFO", "$SRV.INFO.bridged.X1": "INFO",
        "$SRV.STATS": "STATS", "$SRV.STATS.bridged": "STATS", "$SRV.STATS.bridged.X1": "STATS",
    }  # fmt: skip
    assert micro.listened() == [
        "$SRV.PING", "$SRV.PING.bridged", "$SRV.PING.bridged.*",
        "$SRV.INFO", "$SRV.INFO.bridged", "$SRV.INFO.bridged.*",
        "$SRV.STATS", "$SRV.STATS.bridged", "$SRV.STATS.bridged.*",
        "bridge.srv.*.status", "bridge.srv.*.reload",
    ]  # fmt: skip
    ours = [*micro.control_subjects("X1"), *(micro.endpoint_subject("a.b", one) for one in ("status", "reload"))]
    assert [micro.grant(subject) for subject in ours] == micro.listened()
    assert micro.asked() == ["$SRV.INFO.bridged", "bridge.srv.*.status", "bridge.srv.*.reload"]


@pytest.mark.parametrize(
    ("version", "semantic"),
    [
        ("0.1.0", "0.1.0"),
        ("1.2", "1.2.0"),
        ("1.2.0rc1", "1.2.0-rc1"),
        ("1.2.3.dev4+gabc", "1.2.3-dev4-gabc"),
        ("v?", "0.0.0"),
    ],
)
def test_versions_are_semantic(version: str, semantic: str) -> None:
    """The protocol takes no others."""
    assert micro.semantic(version) == semantic


def test_a_report_that_fits_is_one_message() -> None:
    """And the same as it was."""
    given = report([{"name": "a"}, {"name": "b"}], events=[{"at": 1}])
    (whole,) = micro.parts(given, 1000, encode)
    assert json.loads(whole) == given
    assert [json.loads(part) for part in micro.parts(report([]), 1000, encode)] == [report([])]


def test_a_large_report_comes_in_parts_that_are_reports() -> None:
    """Each fits, each holds some of the sources in their order, and together they are the report."""
    sources = [{"name": f"s{number}", "reason": "x" * 50} for number in range(1000)]
    given = report(sources, events=[{"at": number} for number in range(10)])
    found = micro.parts(given, 4000, encode)
    assert len(found) == 20
    assert max(map(len, found)) <= 4000
    assert min(map(len, found[:-1])) > 3900
    reports = [json.loads(part) for part in found]
    assert all(part["headline"] == "h" and part["sources"] for part in reports)
    assert micro.joined(reports) == given


def test_what_is_too_large_is_shortened() -> None:
    """A source that does not fit alone keeps all its keys, and says so; the others are whole."""
    large = {"name": "b", "reason": "y" * 5000, "here": True, "open_gaps": [{"n": 1}] * 500, "owner": {"i": 1},
             "problems": ["p" * 400] * 9, "since": None}  # fmt: skip
    found = [json.loads(part) for part in micro.parts(report([{"name": "a"}, large]), 3000, encode)]
    a, b = micro.joined(found)["sources"]
    assert a == {"name": "a"}
    assert b == {
        "name": "b", "reason": "y" * 299 + "…", "here": True, "open_gaps": [], "owner": None,
        "problems": ["p" * 299 + "…"] * 3, "since": None, "shortened": True,
    }  # fmt: skip


def test_there_are_never_more_than_a_hundred_parts() -> None:
    """Then every source is told in brief."""
    sources = [{"name": f"s{number}", "walks": ["w" * 900]} for number in range(200)]
    found = micro.parts(report(sources), 1500, encode)
    assert 1 < len(found) <= 100
    whole = micro.joined([json.loads(part) for part in found])["sources"]
    assert [one["name"] for one in whole] == [one["name"] for one in sources]
    assert all(one["shortened"] and one["walks"] == [] for one in whole)


def test_a_head_that_is_too_large_loses_its_lists() -> None:
    """Latest events first, then alerts; where nothing helps there is no answer."""
    events, alerts = [{"at": "x" * 100}] * 50, [{"name": "y" * 100}] * 50
    (one,) = micro.parts(report([{"name": "a"}], events=events), 3000, encode)
    assert json.loads(one) == report([{"name": "a"}])
    (one,) = micro.parts(report([{"name": "a"}], events=events, alerts=alerts), 3000, encode)
    assert json.loads(one) == report([{"name": "a"}])
    assert micro.parts(report([{"name": "a"}]), 50, encode) == []
    assert micro.parts(report([{"name": "a" * 200}]), 200, encode) == []
