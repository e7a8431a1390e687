"""How long the connection waits before it tries all servers once more."""

from __future__ import annotations

import pytest

from bridge.edge.nats.client import longest_pause_s


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [(0, 0.1), (1, 0.2), (2, 0.4), (3, 0.5), (10, 0.5), (60, 0.5), (61, 1.0), (63, 4.0), (64, 5.0), (10_000, 5.0)],
)
def test_pauses_are_short_at_first(rounds: int, expected: float) -> None:
    """Half a second at most for the first sixty rounds, so that a restarted server is found at once; then up to 5 s."""
    assert longest_pause_s(rounds, 5.0) == expected


def test_what_is_configured_is_the_longest() -> None:
    """However long nobody answers."""
    assert [longest_pause_s(rounds, 0.3) for rounds in (0, 5, 100)] == [0.1, 0.3, 0.3]
