"""Several instances and the stream, put together."""

from __future__ import annotations

from typing import Any

from bridge.core.report.fleet import merged, only, spread


def source(name: str = "acme", **more: Any) -> dict[str, Any]:
    """As the stream tells it."""
    empty = dict.fromkeys(("state", "state_since", "state_reason", "token", "inbox", "counts", "rate", "seen"))
    return {
        "name": name, **empty, "here": False, "condition": "connected", "problems": [], "session": None,
        "freshness": None, "quota": {"left": 1}, "last_event": None, **more,
    }  # fmt: skip


def report(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"sources": list(sources)}


def test_the_stream_alone() -> None:
    """Without instances everything is as the stream tells it, and nobody told it."""
    assert merged([], [source("b"), source("a")]) == [source("b", told_by=[]), source("a", told_by=[])]


def test_the_instance_that_works_for_a_source_counts() -> None:
    """What only it knows is added; what it does not tell stays as the stream has it; one on standby says nothing."""
    live = source(here=True, state="live", rate=[1, 2], counts={"stored": 3}, freshness={"age_s": 1}, quota=None)
    idle = source(state="standby", rate=[9, 9], counts={"stored": 9}, freshness={"age_s": 9}, condition="")
    for told in (
        [("north", report(live)), ("south", report(idle))],
        [("south", report(idle)), ("north", report(live))],
    ):
        (found,) = merged(told, [source(problems=["late"])])
        assert found == source(
            here=True, state="live", rate=[1, 2], counts={"stored": 3}, freshness={"age_s": 1}, problems=["late"],
            told_by=["north"],
        )  # fmt: skip


def test_an_instance_that_has_seen_the_stream_knows_better() -> None:
    """Then all that it tells counts, but for the subject of the last event, which it does not tell; unless later."""
    last = {"entity": "order", "change": "created", "seq": 7}
    told = source(here=True, state="live", seen="2026-01-01T00:00:00.000Z", condition="recovered", last_event=last)
    mine = {"subject": "events.x", "seq": 7}
    (found,) = merged([("north", report(told))], [source(condition="lost", problems=["lost"], last_event=mine)])
    assert (found["condition"], found["problems"], found["last_event"]) == ("recovered", [], mine)
    (found,) = merged([("north", report(told))], [source(last_event={**mine, "seq": 6})])
    assert found["last_event"] == last
    (found,) = merged([("north", report(told))], [source(last_event=None)])
    assert found["last_event"] == last
    (found,) = merged([("north", report({**told, "shortened": True, "condition": ""}))], [source(condition="lost")])
    assert (found["condition"], found["state"]) == ("lost", "live")


def test_sources_that_several_work_for_are_added_up() -> None:
    """Webhooks come in everywhere: numbers are added, whatever only one tells stays."""
    one = source("hook", here=True, state="live", rate=[1, 2], counts={"stored": 3, "by_change": {"created": 3}})
    two = source("hook", here=True, state="live", rate=[10, 20],
                 counts={"stored": 5, "by_change": {"created": 4, "deleted": 1}})  # fmt: skip
    three = source("hook", here=True, state="live")
    told = [(name, report(each)) for name, each in (("a", one), ("b", two), ("c", three))]
    (found,) = merged(told, [source("hook")])
    assert (found["rate"], found["told_by"]) == ([11, 22], ["a", "b", "c"])
    assert found["counts"] == {"stored": 8, "by_change": {"created": 7, "deleted": 1}}


def test_sources_that_are_not_configured_here_come_last() -> None:
    """Each once; those that nobody works for too, without a state."""
    told = [
        ("north", report(source("x", here=True, state="live"), source("y", state="standby"))),
        ("south", report(source("x", state="standby"), source("y", state="standby"))),
    ]
    found = merged(told, [source("mine")])
    assert [(one["name"], one["state"], one["told_by"]) for one in found] == [
        ("mine", None, []), ("x", "live", ["north"]), ("y", None, [])
    ]  # fmt: skip
    assert only(told) == {"x"}


def test_a_report_that_is_none_is_passed_over() -> None:
    """Another build may tell anything."""
    assert merged([("a", {}), ("b", {"sources": [1, {}]}), ("c", {"sources": None})], [source()]) == [
        source(told_by=[])
    ]


def test_who_works_for_how_many() -> None:
    """Who tells it counts, else who holds its lease, else nobody; what all of them take in counts nowhere."""
    sources = [
        source("a", told_by=["north"], holder={"instance": "south"}),
        source("b", told_by=[], holder={"instance": "west"}),
        source("c", told_by=["north"]),
        source("d", told_by=[], holder=None),
        source("e", told_by=["north", "south"], takes="/hooks/e"),
    ]
    assert list(spread(sources).items()) == [("north", 2), ("west", 1), ("", 1)]
