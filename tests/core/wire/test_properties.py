"""Whatever a server sends, in whatever order: what every machine promises all the same."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import Phase as Step
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.core.facts import Subprotocol
from bridge.core.record import Json
from bridge.core.wire.machines import make
from bridge.core.wire.moves import Beat, Close, Confirmed, Ended, Machine, Move, Next, Phase, Send
from tests.support.thorough import tries
from tests.support.utterances import DIALECTS, OPERATION, SUBPROTOCOLS, identifier, session

IDS = ("1", "2", "a")
TYPES = (
    "ka", "ping", "pong", "connection_ack", "connection_error", "data", "next", "error", "complete", "welcome",
    "disconnect", "confirm_subscription", "reject_subscription", "message", "weather",
)  # fmt: skip

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
ids = st.sampled_from([*IDS, 1, 2, 2.0, "9", None]) | anything
errors = st.sampled_from(["token expired", "too many requests", "Syntax Error", "boom"]) | st.text(max_size=8)
payloads = anything | st.fixed_dictionaries({"message": errors}) | st.fixed_dictionaries({"errors": st.lists(anything)})


@st.composite
def frames(draw: st.DrawFn) -> Json:
    """Any JSON, or a real frame of any of the protocols, or one with parts taken away, replaced or added."""
    if draw(st.integers(0, 5)) == 0:
        return draw(anything)
    channel = draw(st.sampled_from([identifier(id_) for id_ in (*IDS, 1)]) | anything)
    frame: dict[str, Json] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(TYPES),
                "id": ids,
                "payload": payloads,
                "identifier": st.just(channel),
                "message": st.fixed_dictionaries({}, optional={"result": payloads, "more": anything}) | anything,
                "reason": st.sampled_from(["unauthorized", "remote"]) | anything,
                "reconnect": st.booleans() | anything,
            },
        )
    )
    for key in draw(st.lists(st.sampled_from(["type", "id", "payload", "identifier", "message", "x"]), max_size=1)):
        frame[key] = draw(anything)
    return frame


WORDS = ("accept", "life", "confirm", "result", "failure", "end")


def said(subprotocol: Subprotocol, word: str, id_: str, payload: Json) -> Json:
    """What a well-behaved server of this sub-protocol says."""
    words = DIALECTS[subprotocol]
    match word:
        case "accept" | "life":
            return getattr(words, word)
        case "confirm":
            return next(iter(words.confirm(id_)), words.life)
        case "end":
            return words.end(id_)
        case _:
            return words.result(id_, payload) if word == "result" else words.failure(id_, payload)


real = st.builds(said, st.sampled_from(SUBPROTOCOLS), st.sampled_from(WORDS), st.sampled_from(IDS), payloads)


def sendable(payload: Json) -> bool:
    """Whether a ping's payload comes back: one that is there, and that JSON can spell; numbers may be infinite."""
    try:
        return payload is not None and bool(json.dumps(payload, allow_nan=False, ensure_ascii=False).encode())
    except ValueError:
        return False


class AnyServer(RuleBasedStateMachine):
    """Our side plays by the rules, and the server by none."""

    @initialize(subprotocol=st.sampled_from(SUBPROTOCOLS), skip=st.integers(0, 9))
    def begin(self, subprotocol: Subprotocol, skip: int) -> None:
        """Mostly the connection gets as far as to be ready, as little happens before."""
        self.subprotocol = subprotocol
        self.machine: Machine = make(session(subprotocol))
        self.running: set[str] = set()
        self.stopped: set[str] = set()
        self.ended: list[str] = []
        self.confirmed: list[str] = []
        self.closed = False
        if skip > 0:
            self.look(self.machine.opened())
        if skip > 1:
            self.look(self.machine.received(DIALECTS[subprotocol].accept))
        if skip > 3:
            self.start("1")

    def look(self, moves: list[Move]) -> None:
        """Every promise about moves, for those of one call."""
        for move in moves:
            assert not self.closed, "a move after Close"
            match move:
                case Next(id_) | Confirmed(id_):
                    assert id_ in self.running
                    if isinstance(move, Confirmed):
                        self.confirmed.append(id_)
                case Ended(id_):
                    assert id_ in self.running
                    self.running.remove(id_)
                    self.ended.append(id_)
                case Close():
                    self.closed = True
                    assert self.machine.phase is Phase.OVER

    def hear(self, call: Callable[[], list[Move]]) -> list[Move]:
        """Something arrives."""
        before = self.machine.phase
        moves = call()
        if before is Phase.OVER:
            assert moves == []
            assert self.machine.phase is Phase.OVER
        assert self.machine.phase is not Phase.OVER or before is Phase.OVER or any(type(m) is Close for m in moves)
        assert not self.closed or before is Phase.OVER or not any(isinstance(move, Send) for move in moves)
        self.look(moves)
        return moves

    @rule(frame=frames())
    def receive_anything(self, frame: Json) -> None:
        """Nothing raises."""
        moves = self.hear(lambda: self.machine.received(frame))
        if isinstance(frame, dict) and frame.get("type") == "ping" and not self.closed:
            self.answered(frame, moves)

    @rule(word=st.sampled_from(WORDS), id_=st.sampled_from(IDS), payload=payloads)
    def receive_what_servers_say(self, word: str, id_: str, payload: Json) -> None:
        """In any order."""
        frame = said(self.subprotocol, word, id_, payload)
        self.hear(lambda: self.machine.received(frame))

    @rule(id_=st.sampled_from(IDS))
    def receive_an_end(self, id_: str) -> None:
        """Asked for or not, and more than once."""
        frame = said(self.subprotocol, "end", id_, None)
        self.hear(lambda: self.machine.received(frame))

    @rule(payload=anything)
    def receive_ping(self, payload: Json) -> None:
        """Answered at any time but after the end."""
        frame = {"type": "ping", "payload": payload}
        over = self.machine.phase is Phase.OVER
        moves = self.hear(lambda: self.machine.received(frame))
        if not over:
            self.answered(frame, moves)

    def answered(self, frame: Json, moves: list[Move]) -> None:
        """In the one protocol that has pongs."""
        if self.subprotocol == "graphql-transport-ws" and self.machine.phase is not Phase.OVER:
            payload = frame.get("payload")
            pong = {"type": "pong", "payload": payload} if sendable(payload) else {"type": "pong"}
            # By repr, as NaN is not equal to itself.
            assert [repr(move.frame) for move in moves if isinstance(move, Send)] == [repr(pong)]
            assert isinstance(moves[-1], Beat)

    @rule(really=st.integers(0, 4))
    def receive_binary(self, really: int) -> None:
        """Rarely, as it ends the session."""
        if really:
            return
        self.hear(lambda: self.machine.unreadable("a binary frame"))
        assert self.machine.phase is Phase.OVER

    def start(self, id_: str) -> None:
        """If it is allowed."""
        if self.machine.phase is Phase.READY and id_ not in {*self.running, *self.stopped, *self.ended}:
            self.running.add(id_)
            self.look(self.machine.start(id_, OPERATION))

    @rule(id_=st.sampled_from(IDS))
    def start_operation(self, id_: str) -> None:
        """Under a fresh id."""
        self.start(id_)

    @rule(id_=st.sampled_from(IDS))
    def stop_operation(self, id_: str) -> None:
        """Whatever became of it."""
        if self.machine.phase is Phase.READY and id_ in {*self.running, *self.stopped, *self.ended}:
            moves = self.machine.stop(id_)
            assert bool(moves) is (id_ in self.running)
            if id_ in self.running:
                self.running.remove(id_)
                self.stopped.add(id_)
            self.look(moves)

    @rule(really=st.integers(0, 4))
    def leave(self, really: int) -> None:
        """Rarely."""
        if really == 0:
            over = self.machine.phase is Phase.OVER
            moves = self.machine.leave()
            assert not (over and moves)
            assert all(isinstance(move, Send) for move in moves)
            assert self.machine.phase is Phase.OVER
            self.running.clear()

    @invariant()
    def each_end_and_confirmation_comes_once(self) -> None:
        """Over the whole connection."""
        assert len(self.ended) == len(set(self.ended))
        assert len(self.confirmed) == len(set(self.confirmed))
        assert not self.stopped & set(self.ended)


TestAnyServer = AnyServer.TestCase
# Not made smaller: that would take longer than a test may, and its steps would never be shown.
TestAnyServer.settings = settings(
    max_examples=tries(20, 60), stateful_step_count=30, phases=[Step.explicit, Step.generate]
)


@given(st.sampled_from(SUBPROTOCOLS), st.sampled_from(["fresh", "greeting", "ready"]), st.lists(frames() | real))
def test_no_frame_raises_in_any_phase(subprotocol: Subprotocol, phase: str, arriving: list[Json]) -> None:
    """Sequences of frames alone, without our side doing anything in between; after a Close nothing follows."""
    machine = make(session(subprotocol))
    if phase != "fresh":
        machine.opened()
    if phase == "ready":
        machine.received(DIALECTS[subprotocol].accept)
        machine.start("1", OPERATION)
    moves = [move for frame in arriving for move in machine.received(frame)]
    closes = [index for index, move in enumerate(moves) if isinstance(move, Close)]
    assert closes in ([], [len(moves) - 1])
    assert (machine.phase is Phase.OVER) is bool(closes)
