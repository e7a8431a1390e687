"""An Engine.IO machine brought to where a test wants it, and the gist of what it makes of a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.core.session import EngineioRevision, SocketioSession
from bridge.core.wire.engineio import Engineio
from bridge.core.wire.moves import Beat, Close, Odd, Phase, Ready
from bridge.core.wire.packets import Happened, Heartbeat, Move, Unreadable, Wire
from bridge.edge.socketio_codec import SocketioCodec

OPEN = '0{"pingInterval":25000,"pingTimeout":60000}'
CONNECTED: Mapping[EngineioRevision, str] = {3: "40", 4: '40{"sid":"x"}'}
PHASES = {"fresh": Phase.FRESH, "new": Phase.GREETING, "open": Phase.GREETING, "ready": Phase.READY, "over": Phase.OVER}


def machine(revision: EngineioRevision, **more: Any) -> Engineio:
    """Fresh, with the codec that the product has."""
    return Engineio(SocketioSession(url="wss://vendor.example/", revision=revision, **more), SocketioCodec())


def in_phase(revision: EngineioRevision, stage: str, **more: Any) -> Engineio:
    """A machine of namespace `/` that has come so far. `new`: the socket is open; `open`: the open packet has come."""
    wire = machine(revision, **more)
    if stage != "fresh":
        wire.opened()
    if stage in ("open", "ready", "over"):
        wire.received(OPEN)
    if stage in ("ready", "over"):
        wire.received(CONNECTED[revision])
    if stage == "over":
        wire.leave()
    assert wire.phase is PHASES[stage]
    return wire


def gist(moves: Iterable[Move]) -> list[str]:
    """Each move in a few words: `wire 40`, `close 1000 Retry`, `happened name [args] ack`, `odd`."""
    return [_gist(move) for move in moves]


def _gist(move: Move) -> str:
    match move:
        case Wire(text):
            return f"wire {text}"
        case Close(code, error):
            return f"close {code} {type(error).__name__}"
        case Happened(name, args, ack):
            return f"happened {name} {list(args)} {ack}"
        case Heartbeat() | Unreadable() | Ready() | Beat() | Odd():
            return type(move).__name__.lower()
