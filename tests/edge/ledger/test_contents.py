"""Which contents are asked for together: only such as the server finds without reading much else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from bridge.core.record import Head, Key
from bridge.edge.ledger.contents import near


@pytest.mark.parametrize(
    ("seqs", "parts"),
    [
        (range(8), []),
        (range(1, 9), [list(range(1, 9))]),
        (range(0, 80, 10), []),
        (range(10, 90, 10), [list(range(10, 90, 10))]),
        (range(9, 0, -1), [list(range(1, 10))]),
        (range(100, 2_100, 20), []),
        ([*range(1, 9), *range(1_001, 1_009)], [list(range(1, 9)), list(range(1_001, 1_009))]),
        ([*range(1, 9), 500], [list(range(1, 9))]),
        ([0, 0, 0, *range(1, 6)], []),
    ],
    ids=["one aged out", "a page", "one aged out, apart", "not far apart", "backwards", "far apart", "two pages",
         "a straggler", "few"],
)  # fmt: skip
def test_those_that_lie_near_one_another_are_asked_for_together(seqs: Iterable[int], parts: list[list[int]]) -> None:
    """Eight at least, with sixteen messages to each at most; what has aged out lies nowhere."""
    wanted = [(Key("acme", "main", "thing", f"{seq}"), Head(seq, "", "created", None, "")) for seq in seqs]
    assert [[head.seq for _, head in part] for part in near(wanted)] == parts
