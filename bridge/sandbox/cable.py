"""The sub-protocol `actioncable-v1-json` as a Rails server with graphql-ruby speaks it.

From the published sources of Action Cable's server and of graphql-ruby's channel and its ActionCableLink: welcome,
a ping with the server's time every three seconds, confirm or reject, `execute`, results as `{"result", "more"}`.
Authentication happens at the upgrade; whoever fails is told `disconnect` and may not come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bridge.sandbox.dialect import Dialect, Frame, Refused, unparsed

if TYPE_CHECKING:
    from bridge.sandbox.session import Session


class Cable(Dialect):
    """Sub-protocol `actioncable-v1-json`. An operation's id is its channel's identifier and a running number."""

    name = "actioncable-v1-json"

    def __init__(self) -> None:
        self._channels: set[str] = set()
        self._started = 0

    async def opened(self, session: Session) -> None:
        try:
            await session.admit({})
        except Refused as refusal:
            await session.end(refusal.code or session.rules.refuse_code or 1000, "unauthorized", back=False)
        else:
            await session.acknowledge({"type": "welcome"})

    async def take(self, session: Session, message: Frame) -> None:
        identifier = message.get("identifier")
        if not isinstance(identifier, str) or not session.admitted:
            return  # Rails logs it and goes on
        match message.get("command"):
            case "subscribe" if identifier in self._channels:
                pass
            case "subscribe" if _decoded(identifier).get("channel") == session.rules.cable_channel:
                self._channels.add(identifier)
                await session.send({"identifier": identifier, "type": "confirm_subscription"})
            case "subscribe":
                await session.send({"identifier": identifier, "type": "reject_subscription"})
            case "unsubscribe":
                self._channels.discard(identifier)
                for id_ in [id_ for id_ in session.operations if _identifier(id_) == identifier]:
                    session.stop(id_)
            case "message" if identifier in self._channels:
                data = _decoded(message.get("data"))
                if data.get("action") == "execute":
                    self._started += 1
                    await session.start(f"{self._started} {identifier}", data)

    async def rubbish(self, session: Session) -> None:
        pass  # as Rails: logged, not answered

    def data(self, id_: str, payload: Any, *, more: bool = True) -> Frame:
        return {"identifier": _identifier(id_), "message": {"result": payload, "more": more}}

    def failed(self, id_: str, errors: Any) -> Frame:
        return self.data(id_, {"errors": errors}, more=False)

    def unfit(self, id_: str, errors: Any) -> list[Frame]:
        # graphql-ruby promises more of whatever it could read as a subscription, though nothing will come.
        return [self.data(id_, {"errors": errors}, more=not unparsed(errors))]

    def complete(self, id_: str) -> Frame:
        return {"identifier": _identifier(id_), "message": {"more": False}}

    def begun(self, id_: str) -> Frame | None:
        return self.data(id_, {"data": {}})

    def leaving(self, reason: str, *, back: bool) -> Frame | None:
        return {"type": "disconnect", "reason": reason, "reconnect": back}

    def beat(self, now_ms: int) -> Frame:
        return {"type": "ping", "message": now_ms // 1000}

    def beat_s(self, session: Session) -> float | None:
        return session.rules.cable_ping_s


def _identifier(id_: str) -> str:
    return id_.partition(" ")[2]


def _decoded(text: Any) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        value = None
    return value if isinstance(value, dict) else {}
