"""The judge of what happens once finds every planted error, and acquits every faithful stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from bridge.sandbox.oracle import Report
from bridge.sandbox.oracle_once import Issued, Once, once
from bridge.sandbox.platform_view import as_issued, as_seen, carries

ISSUED = [Issued(("door-opened", f"m{n}"), 1000 * n, {"level": n}) for n in range(4)]
STORED = [
    Once(("door-opened", f"m{n}"), "occurred", {"level": n, "object": "o"}, 1000 * n + 50, f"ce-{n}") for n in range(4)
]


def verdict(report: Report) -> dict[str, int]:
    names = ("missing", "duplicates", "invented", "lapsed", "out_of_order")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def test_each_exactly_once_is_faithful() -> None:
    """In whatever order they were stored: what is read later is stored later."""
    report = once(ISSUED, STORED[::-1], carries=carries)
    assert (report.faithful, report.changes, report.events, report.latencies_ms) == (True, 4, 4, [50] * 4)


Spoil = Callable[[list[Once]], list[Once]]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(lambda s: s[1:], {"missing": 1}, id="an event of the journal is lost"),
        pytest.param(lambda s: [], {"missing": 4}, id="nothing came"),
        pytest.param(lambda s: [*s, dataclasses.replace(s[0], ce_id="other")], {"duplicates": 1}, id="stored twice"),
        pytest.param(lambda s: [*s, s[0]], {"duplicates": 1}, id="the same message twice"),
        pytest.param(
            lambda s: [dataclasses.replace(s[0], ce_id=s[1].ce_id), *s[1:]],
            {"duplicates": 1, "missing": 1},
            id="two under one ce-id",
        ),
        pytest.param(
            lambda s: [*s, dataclasses.replace(s[0], key=("door-opened", "m9"), ce_id="n")],
            {"invented": 1},
            id="never issued",
        ),
        pytest.param(
            lambda s: [dataclasses.replace(s[0], key=("door-closed", "m0")), *s[1:]],
            {"invented": 1, "missing": 1},
            id="under another type",
        ),
        pytest.param(
            lambda s: [dataclasses.replace(s[0], after={"level": 7}), *s[1:]], {"invented": 1}, id="other content"
        ),
        pytest.param(
            lambda s: [dataclasses.replace(s[0], after=None), *s[1:]], {"invented": 1}, id="a zero is still a value"
        ),
        pytest.param(
            lambda s: [dataclasses.replace(s[0], change="updated"), *s[1:]], {"invented": 1}, id="as a change"
        ),
    ],
)
def test_planted_errors(spoil: Spoil, expected: dict[str, int]) -> None:
    """Each kind of error has its name."""
    report = once(ISSUED, spoil(list(STORED)), carries=carries)
    assert verdict(report) == expected
    assert report.faithful is False
    assert report.findings


def test_what_nobody_can_read_any_more_may_lack() -> None:
    """A removed object's packets have no history: they may be in the stream, or not."""
    issued = [dataclasses.replace(each, optional=True) for each in ISSUED]
    report = once(issued, STORED[:1], carries=carries)
    assert (report.faithful, verdict(report)) == (True, {"lapsed": 3})


def test_contents_may_be_named_and_written_otherwise() -> None:
    """Another case, another nesting, RFC 3339 instead of a number: the same. Another value: not."""
    data = {"time": 1_722_338_333_564, "_ts": 1_722_338_333_562_289, "limits": {"highMark": 3}, "none": None}
    after = {
        "time": "2024-07-30T11:18:53.564Z",
        "_ts": "2024-07-30T11:18:53.562289Z",
        "high_mark": 3,
        "more": ["besides"],
    }
    assert carries(after, data)
    assert not carries({**after, "high_mark": 4}, data)
    assert not carries({**after, "time": "2024-07-30T11:18:53.565Z"}, data)
    assert not carries(None, data)


def test_a_row_is_compared_without_what_is_volatile() -> None:
    """`state` and `success` are no content; config, status and names are."""
    row = {"_id": "5f", "id": "dev-1", "name": "Pump", "time": 0, "status": "active", "state": {"_ts": 1}, "access": []}
    after = {"vendor_id": "dev-1", "name": "Pump", "created_at": "1970-01-01T00:00:00Z", "status": "active", "id": "5f"}
    assert as_seen(after) == as_issued(row)
    assert as_seen({**after, "status": "blocked"}) != as_issued(row)
    assert as_seen({**after, "state": {"_ts": 1}}) != as_issued(row)
