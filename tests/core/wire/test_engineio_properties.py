"""Promises of the Engine.IO machine over the product's codec, for any server: nothing raises, nothing gets stuck."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import Phase as Step
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.core.session import EngineioRevision
from bridge.core.wire.moves import Close, Odd, Phase, Ready
from bridge.core.wire.packets import Happened, Heartbeat, Move, Unreadable, Wire
from tests.support.engineio import CONNECTED, OPEN, gist, in_phase, machine
from tests.support.thorough import tries

REVISIONS = st.sampled_from([3, 4])
WORDS = [
    *(OPEN, "40", '40{"sid":"x"}', "40/other", "41", '44"no"', "1", "2", "2probe", "3", "5", "6"),
    *('42["a",1]', '423["a"]', "42[]", "42", '42/other,["a"]', "43[]", "HTTP/1.1 400 Bad Request"),
    *('451-["a",{"_placeholder":true,"num":0}]', '452-["a",{"_placeholder":true,"num":0}]', "45", "4", ""),
    *('452-9["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', '450-["a"]', "42" + "[" * 10_000),
]
GENTLE = [word for word in WORDS if word[:1] not in "01H" and word[:2] not in ("40", "41", "44")]
"""Those that end no session."""

# Texts made of what the syntax is made of come further than any texts do.
spliced = st.text(alphabet='0123456789-/,[]{}":_anum\u0662\u00b2', max_size=30)
packets = st.builds("4{}{}".format, st.sampled_from("0123456"), spliced)
texts = st.sampled_from(WORDS) | packets | spliced | st.text(max_size=20)
blobs = st.binary(max_size=5) | st.binary(max_size=5).map(lambda data: b"\x04" + data)
frames = texts | blobs


class AnyServer(RuleBasedStateMachine):
    """Our side plays by the rules, and the server by none."""

    @initialize(revision=REVISIONS, skip=st.integers(0, 9), namespace=st.sampled_from(["/", "/other"]))
    def begin(self, revision: EngineioRevision, skip: int, namespace: str) -> None:
        """Mostly the connection gets as far as to be ready."""
        self.wire = machine(revision, namespace=namespace)
        self.heartbeats = self.readies = self.begun = 0
        self.closed = False
        self.look(self.wire.opened())
        if skip > 1:
            self.hear(OPEN)
        if skip > 3:
            self.hear(CONNECTED[revision] if namespace == "/" else '40/other,{"sid":"x"}')

    def look(self, moves: list[Move]) -> None:
        """Every promise about moves, for those of one call."""
        for move in moves:
            assert not self.closed, "a move after Close"
            match move:
                case Heartbeat(interval, timeout):
                    assert 0.05 <= interval <= 300
                    assert 0.05 <= timeout <= 300
                    self.heartbeats += 1
                case Ready():
                    self.readies += 1
                case Happened(name, args, ack):
                    assert isinstance(name, str)
                    assert isinstance(args, list)
                    assert ack is None or 0 <= ack <= 9007199254740992
                    assert self.wire.phase is Phase.READY
                case Unreadable(error):
                    assert len(error.raw) <= 4096
                case Close():
                    self.closed = True
                    assert self.wire.phase is Phase.OVER

    def hear(self, frame: str | bytes) -> None:
        """Something arrives."""
        before, waiting = self.wire.phase, self.wire.incomplete
        moves = self.wire.received(frame)
        if before is Phase.OVER:
            assert moves == []
        self.look(moves)
        if self.wire.incomplete:
            assert before is not Phase.OVER
        elif waiting and not self.closed:
            assert moves, "a packet that waited has vanished"

    @rule(frame=st.sampled_from(GENTLE) | packets | blobs)
    def receive_anything(self, frame: str | bytes) -> None:
        """Nothing raises."""
        self.hear(frame)

    @rule(frame=frames, really=st.integers(0, 5))
    def receive_an_end(self, frame: str | bytes, really: int) -> None:
        """Rarely what may end the session."""
        if really == 0:
            self.hear(frame)

    @rule()
    def beat(self) -> None:
        """If it is allowed."""
        if self.heartbeats and self.wire.phase is not Phase.OVER:
            self.look(self.wire.beat())

    @rule(id_=st.integers(0, 2**53))
    def acknowledge(self, id_: int) -> None:
        """If it is allowed."""
        if self.wire.phase is Phase.READY:
            [move] = self.wire.acknowledge(id_)
            assert isinstance(move, Wire)
            assert move.text.endswith(f"{id_}[]")

    @rule()
    def give_up(self) -> None:
        """One unreadable packet if one waited."""
        waiting = self.wire.incomplete
        assert gist(self.wire.give_up()) == ["unreadable"] * waiting
        assert not self.wire.incomplete

    @rule(really=st.integers(0, 9))
    def leave(self, really: int) -> None:
        """Rarely; then nothing comes any more."""
        if really == 0:
            assert all(isinstance(move, Wire) for move in self.wire.leave())
            assert self.wire.phase is Phase.OVER

    @invariant()
    def each_thing_once(self) -> None:
        """Over the whole connection."""
        assert self.heartbeats <= 1
        assert self.readies <= self.heartbeats
        assert not self.closed or self.wire.phase is Phase.OVER


TestAnyServer = AnyServer.TestCase
TestAnyServer.settings = settings(
    max_examples=tries(25, 100), stateful_step_count=30, phases=[Step.explicit, Step.generate]
)


@settings(max_examples=tries(80, 400), phases=[Step.explicit, Step.generate])
@given(REVISIONS, st.sampled_from(["fresh", "new", "open", "ready"]), st.lists(frames, max_size=12))
def test_no_frame_raises_in_any_phase(revision: EngineioRevision, stage: str, arriving: list[str | bytes]) -> None:
    """Sequences of frames alone; after a Close nothing follows, and without one the session still works."""
    wire = in_phase(revision, stage)
    moves = [move for frame in arriving for move in wire.received(frame)]
    closes = [index for index, move in enumerate(moves) if isinstance(move, Close)]
    assert closes in ([], [len(moves) - 1])
    assert (wire.phase is Phase.OVER) is bool(closes)
    if wire.phase is Phase.READY:
        assert gist(wire.received('42["still",1]'))[-1] == "happened still [1] None"


ROUNDS = tries(1_000, 3_000)


@pytest.mark.parametrize("revision", [3, 4])
def test_nothing_grows(revision: EngineioRevision) -> None:
    """After thousands of events, acks, spoilt packets and frames from nowhere a machine holds what it held before."""
    wire = in_phase(revision, "ready")
    blob = b"\x04x" if revision == 3 else b"x"

    def round_trip(number: int) -> int:
        moves = wire.received(f'42{number}["a{number}",{{"k{number}":1}}]')
        wire.acknowledge(number)
        moves += wire.received(f'451-{number}["b{number}",{{"_placeholder":true,"num":0}}]')
        moves += wire.received(f'42/n{number},["c{number}"]')
        moves += wire.received(blob) + wire.received("42[") + wire.received("2") + wire.received("6")
        return sum(isinstance(move, Odd) for move in moves)

    for number in range(1_000):  # fills the caches of what is bounded
        round_trip(number)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(10_000, 10_000 + ROUNDS):
            assert round_trip(number)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000, f"{grown} bytes for {ROUNDS} rounds"


usual = st.builds(
    "42[{}".format, spliced | st.sampled_from(['"a"]', '"a",{"b":[1,2]}]', "]", "1]", '"a"', '"a"] ', "null]"])
)


@given(REVISIONS, st.sampled_from(["/", "/other"]), st.lists(frames | usual, max_size=6))
def test_the_short_way_leads_where_the_long_one_does(
    revision: EngineioRevision, namespace: str, heard: list[str | bytes]
) -> None:
    """Frame by frame, two machines, of which one never takes it, say the same and come to the same."""
    short, long = (machine(revision, namespace=namespace) for _ in range(2))
    for wire in (short, long):
        wire.opened()
    connected = CONNECTED[revision] if namespace == "/" else '40/other,{"sid":"x"}'
    for frame in (OPEN, connected, '42["a",1]', *heard, *GENTLE[:3]):
        said, meant = short.received(frame), long._any(frame)
        assert list(map(repr, said)) == list(map(repr, meant))
        assert [move.error.raw for move in said if isinstance(move, Unreadable)] == [
            move.error.raw for move in meant if isinstance(move, Unreadable)
        ]
        assert (short.phase, short.incomplete, short.partials) == (long.phase, long.incomplete, long.partials)
