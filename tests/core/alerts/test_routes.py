"""Which rules an event is shown to, by its subject alone."""

from __future__ import annotations

import pytest

from bridge.core.alerts.routes import Routes, common

ROUTES = Routes(
    {
        "all": ["events.>"],
        "one": ["events.acme.main.thing.created.a", "events.acme.main.thing.created.b"],
        "kind": ["events.*.*.thing.*.*"],
        "own": ["events.bridge.>"],
    }
)


@pytest.mark.parametrize(
    ("subject", "wanted"),
    [
        ("events.acme.main.thing.created.a", ["all", "one", "kind"]),
        ("events.acme.main.thing.created.c", ["all", "kind"]),
        ("events.acme.main.thing.deleted.a", ["all", "kind"]),
        ("events.bridge.main.gap.opened.x", ["all", "own"]),
        # What was there before, and alerts themselves, whoever asks for them.
        ("events.acme.main.thing.snapshot.a", []),
        ("events.bridge.ops.alert.occurred.x", []),
        # A vendor may have alerts of its own.
        ("events.acme.main.alert.occurred.x", ["all"]),
        ("events.acme.main", []),
    ],
)
def test_who_is_shown_what(subject: str, wanted: list[str]) -> None:
    """Whoever has a filter that selects it, however often it is asked for."""
    assert ROUTES.of(subject) == wanted
    assert ROUTES.of(subject) == wanted


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (["events.a.b.c.d.e"], "events.a.b.c.d.e"),
        (["events.a.>"], "events.a.>"),
        (["events.a.>", "events.a.b.c.d.e"], "events.a.>"),
        (["events.a.b.c.d.x", "events.a.z.c.d.e"], "events.a.*.c.d.*"),
        (["events.a.b.>", "events.x.b.c.>"], "events.*.b.>"),
        (["events.a.b", "events.a.b.c"], "events.a.>"),
        (["events.a", "events.b.c"], "events.>"),
        (["events.>", "events.a.b.c.d.e"], "events.>"),
        (["*.a.b.c.d.e"], "events.>"),
        ([">"], "events.>"),
        ([], "events.>"),
    ],
)
def test_one_filter_for_several(filters: list[str], wanted: str) -> None:
    """It lets through what any of them does, and begins with `events`."""
    assert common(filters) == wanted
