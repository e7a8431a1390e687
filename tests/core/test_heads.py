"""Packed heads: what goes in comes out, and they are small."""

from __future__ import annotations

import gc

import pytest

from bridge.core.canonical import digest
from bridge.core.heads import Heads
from bridge.core.record import Head

CE_ID = "7db0447861619aacdb042392ddc8f12e"
DIGEST = digest({"a": 1}, "3")

OURS = [
    Head(7, CE_ID, "created", None, DIGEST),
    Head(0, CE_ID, "deleted", "2026-01-02T03:04:05.678Z", DIGEST),
    Head(2**63, CE_ID, "snapshot", "", digest(None, "3-0a1b2c")),
    Head(1, CE_ID, "updated", "\N{SNOWMAN} \ud800", digest(None, "with:colon")),
]
STRANGE = [
    Head(7, "", "created", None, ""),
    Head(7, CE_ID.upper(), "created", None, DIGEST),
    Head(7, CE_ID, "renamed", "4", DIGEST),
    Head(7, "by hand", "updated", None, DIGEST),
    Head(7, CE_ID, "updated", "x", DIGEST.removeprefix("3:")),
    Head(7, CE_ID, "updated", "x", DIGEST + "00"),
    Head(7, CE_ID, "updated", "x", "3:" + " ".join(DIGEST[2:])),
    Head(7, CE_ID[:-2], "updated", "x", DIGEST),
]


@pytest.mark.parametrize("head", OURS + STRANGE)
def test_a_head_comes_back_as_it_was(head: Head) -> None:
    """Ours and what somebody else's hand wrote alike."""
    heads = Heads()
    heads["session", "1"] = head
    assert heads["session", "1"] == head
    assert dict(heads.items()) == {("session", "1"): head}


def test_it_is_a_mapping() -> None:
    """Set, replaced, removed, counted, found; equal to a dictionary of the same."""
    heads = Heads()
    for number, head in enumerate(OURS):
        heads["session", str(number)] = head
    heads["person", "0"] = OURS[0]
    heads["person", "0"] = OURS[1]
    del heads["session", "0"]
    assert heads == {("session", str(n)): OURS[n] for n in (1, 2, 3)} | {("person", "0"): OURS[1]}
    assert len(heads) == 4
    assert ("session", "1") in heads
    assert ("session", "0") not in heads
    assert ("nobody", "0") not in heads
    assert heads.get(("nobody", "0")) is None


def test_what_was_deleted_does_not_exist() -> None:
    """Only the entities of the kind asked for, and only those whose last change is another than `deleted`."""
    heads = Heads()
    for number, head in enumerate([*OURS, *STRANGE, Head(1, "by hand", "deleted", None, "")]):
        heads["session", str(number)] = head
    heads["person", "x"] = OURS[0]
    alive = {str(number) for number in range(len(OURS) + len(STRANGE))} - {"1"}
    assert heads.existing("session") == alive
    assert heads.existing("nobody") == set()


def test_more_mappings_than_there_are_numbers_for() -> None:
    """A source whose mapping has changed more than 256 times is known all the same."""
    heads, expected = Heads(), {}
    for number in range(300):
        expected["session", str(number)] = Head(1, CE_ID, "created", None, digest(None, f"m{number}"))
        heads["session", str(number)] = expected["session", str(number)]
    assert heads == expected


def test_the_collector_has_nothing_to_visit() -> None:
    """Ten thousand heads are no objects of the garbage collector's."""
    gc.collect()
    before = len(gc.get_objects())
    heads = Heads()
    for number in range(10_000):
        heads["session", str(number)] = Head(number, CE_ID, "created", "5", DIGEST)
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert len(heads) == 10_000


MARK, OTHER = b"12345678", b"12345679"


@pytest.mark.parametrize("head", OURS)
def test_a_mark_lies_beside_a_head_until_that_is_set_again(head: Head) -> None:
    """It changes nothing else, may be replaced, and is found by no other id."""
    heads = Heads()
    heads["session", "1"] = heads["session", "2"] = head
    bears = heads.bearing("session")
    assert not bears("1", MARK)
    heads.mark("session", "1", OTHER)
    heads.mark("session", "1", MARK)
    assert bears("1", MARK)
    assert not bears("1", OTHER)
    assert not bears("2", MARK)
    assert not bears("3", MARK)
    assert not heads.bearing("person")("1", MARK)
    assert heads["session", "1"] == head
    assert heads.existing("session") == (set() if head.change == "deleted" else {"1", "2"})
    heads["session", "1"] = head
    assert not bears("1", MARK)
    assert heads["session", "1"] == head


def test_a_version_is_no_mark() -> None:
    """Though it lies where a mark would."""
    heads = Heads()
    heads["session", "1"] = Head(1, CE_ID, "created", MARK.decode(), DIGEST)
    assert not heads.bearing("session")("1", MARK)


@pytest.mark.parametrize("head", STRANGE)
def test_what_somebody_else_wrote_bears_no_mark(head: Head) -> None:
    """Nor does what is not known."""
    heads = Heads()
    heads["session", "1"] = head
    heads.mark("session", "1", MARK)
    heads.mark("session", "2", MARK)
    assert not heads.bearing("session")("1", MARK)
    assert dict(heads.items()) == {("session", "1"): head}


def test_a_mark_has_eight_bytes() -> None:
    """No more: there may be a million."""
    with pytest.raises(ValueError, match="7 bytes"):
        Heads().mark("session", "1", b"1234567")
