"""Packets with attachments: what completes them, what spoils them, and that nothing else is spoilt with them."""

from __future__ import annotations

import pytest

from bridge.core.session import EngineioRevision
from bridge.core.wire.moves import Odd
from bridge.core.wire.packets import Happened, Unreadable
from tests.support.engineio import gist, in_phase

ONE = '451-["picture",{"_placeholder":true,"num":0}]'
TWO = '452-7["pictures",{"a":[{"_placeholder":true,"num":1}],"b":{"_placeholder":true,"num":0}}]'
MARKS: dict[EngineioRevision, bytes] = {3: b"\x04", 4: b""}
REVISIONS = pytest.mark.parametrize("revision", [3, 4])


@REVISIONS
def test_attachments_find_their_places(revision: EngineioRevision) -> None:
    """In any order of the places, as base64, an empty one too; heartbeats may come in between."""
    wire, mark = in_phase(revision, "ready"), MARKS[revision]
    assert wire.received(TWO) == []
    assert wire.incomplete
    assert wire.received(mark + b"\x01\x02\x03") == []
    assert gist(wire.received("3" if revision == 3 else "2"))[-1] == "beat"
    assert wire.received(mark) == [
        Happened("pictures", [{"a": [{"base64": ""}], "b": {"base64": "AQID"}}], 7),
    ]
    assert not wire.incomplete
    assert wire.partials == 1
    assert gist(wire.received('42["next"]')) == ["happened next [] None"]


@REVISIONS
def test_the_next_packet_in_place_of_attachments(revision: EngineioRevision) -> None:
    """What is incomplete is one unreadable packet; the next one is read, and late attachments belong to nobody."""
    wire, mark = in_phase(revision, "ready"), MARKS[revision]
    wire.received(TWO)
    wire.received(mark + b"first")
    moves = wire.received('42["next"]')
    assert gist(moves) == ["unreadable", "happened next [] None"]
    assert isinstance(moves[0], Unreadable)
    assert moves[0].error.raw == TWO[1:].encode()
    assert gist(wire.received(mark + b"second")) == ["odd"]
    wire.received(ONE)
    assert gist(wire.received(ONE)) == ["unreadable"]
    assert wire.incomplete
    assert wire.partials == 3
    assert gist(wire.received(mark + b"x")) == ["happened picture [{'base64': 'eA=='}] None"]


@REVISIONS
def test_attachments_that_never_come(revision: EngineioRevision) -> None:
    """The shell gives them up: one unreadable packet, with its beginning for the quarantine, and once only."""
    wire = in_phase(revision, "ready")
    long = '451-["' + "é" * 5_000 + '",{"_placeholder":true,"num":0}]'
    wire.received(long)
    [move] = wire.give_up()
    assert isinstance(move, Unreadable)
    assert move.error.raw == long[1:].encode()[:4096]
    assert not wire.incomplete
    assert wire.give_up() == []
    assert gist(wire.received('42["next"]')) == ["happened next [] None"]


@REVISIONS
def test_attachments_larger_than_a_message_may_be(revision: EngineioRevision) -> None:
    """Together, and to the byte; what is over the limit is one unreadable packet, that names the setting."""
    mark = MARKS[revision]
    wire = in_phase(revision, "ready", max_message_mb=1)
    wire.received(TWO)
    assert wire.received(mark + b"x" * 1_000_000) == []
    assert gist(wire.received(mark + b"x" * 48_576))[0].startswith("happened")
    wire.received(TWO)
    assert wire.received(mark + b"x" * 1_000_000) == []
    [move] = wire.received(mark + b"x" * 48_577)
    assert isinstance(move, Unreadable)
    assert "1 MiB" in str(move.error)
    assert "`ws_max_message_mb`" in str(move.error)
    assert not wire.incomplete


@pytest.mark.parametrize("frame", [b"", b"\x02", b"\x05abc", b"abc"])
def test_revision_3_marks_its_attachments(frame: bytes) -> None:
    """A binary frame without the mark is odd, and spoils the packet in whose attachment's place it stands."""
    wire = in_phase(3, "ready")
    assert [type(move) for move in wire.received(frame)] == [Odd]
    wire.received(ONE)
    assert gist(wire.received(frame)) == ["unreadable"]
    assert gist(wire.received(b"\x04x")) == ["odd"]


@REVISIONS
@pytest.mark.parametrize(
    "packet",
    [
        '4565-["a"]',
        '4599999999999-["a"]',
        '45-1-["a"]',
        '451-["a"]',
        '451-["a",{"_placeholder":true,"num":1}]',
        '451-["a",{"_placeholder":true,"num":-1}]',
        '451-["a",{"_placeholder":true,"num":false}]',
        '451-["a",{"_placeholder":true,"num":"0"}]',
        '451-["a",{"_placeholder":true,"num":0.0}]',
        '451-["a",{"_placeholder":true}]',
        '451-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]',
        '450-["a",{"_placeholder":true,"num":0}]',
        '421-["a",{"_placeholder":true,"num":0}]',
    ],
)
def test_places_that_do_not_fit(revision: EngineioRevision, packet: str) -> None:
    """They are seen before any attachment comes: nothing is waited for, and what comes all the same is odd."""
    wire = in_phase(revision, "ready")
    assert gist(wire.received(packet)) == ["unreadable"]
    assert not wire.incomplete
    assert wire.partials == 0
    assert gist(wire.received(MARKS[revision] + b"x")) == ["odd"]


@REVISIONS
def test_attachments_of_what_is_not_for_us(revision: EngineioRevision) -> None:
    """Another namespace's, and those of an answer, are taken in and left aside as any of their packets."""
    wire, mark = in_phase(revision, "ready"), MARKS[revision]
    for text in ('451-/other,["a",{"_placeholder":true,"num":0}]', '461-3[{"_placeholder":true,"num":0}]'):
        assert wire.received(text) == []
        assert gist(wire.received(mark + b"x")) == ["odd"]
    assert gist(wire.received('450-["a"]')) == ["happened a [] None"]


@REVISIONS
def test_the_end_forgets_what_waited(revision: EngineioRevision) -> None:
    """After a close nobody waits any more, and the shell need not give anything up."""
    wire = in_phase(revision, "ready")
    wire.received(ONE)
    assert gist(wire.received("41")) == ["unreadable", "close 1000 Retry"]
    wire = in_phase(revision, "ready")
    wire.received(ONE)
    assert gist(wire.received("1")) == ["close 1000 Retry"]
    assert not wire.incomplete
    assert wire.give_up() == []
