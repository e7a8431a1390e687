"""The same frames to the real server and to the sandbox: both give the same answers, mistakes included."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

from bridge.core.facts import Subprotocol
from tests.interop.peers import TOKEN, Server
from tests.interop.test_clients import DOCUMENT, playing, token
from tests.sandbox.sockets import START, STOP, wire
from tests.support.dialects import CABLE, LEGACY, TRANSPORT

pytestmark = pytest.mark.anyio

ENDLESS, SHORT, WRONG, BROKEN = "ENDLESS", "{ __typename }", "subscription { nothing }", "subscription {"
INIT, STALE = (
    {"type": "connection_init", "payload": "TOKEN"},
    {"type": "connection_init", "payload": {"authToken": "x"}},
)


def start(query: str, id_: Any = "1") -> Any:
    return {"id": id_, "type": "START", "payload": {"query": query}}


def channel(command: str, id_: str = "1", **more: Any) -> Any:
    return {"command": command, "identifier": json.dumps({"channel": "GraphqlChannel", "channelId": id_}), **more}


def execute(query: str) -> Any:
    return channel("message", data=json.dumps({"action": "execute", "query": query}))


BOTH: dict[str, list[Any]] = {
    "greeting": [INIT],
    "greeting twice": [INIT, INIT],
    "refused": [STALE],
    "no JSON": [INIT, "rubbish"],
    "a list": [INIT, "[]"],
    "unknown type": [INIT, {"id": "1", "type": "dance"}],
    "start first": [start(ENDLESS)],
    "a query": [INIT, start(SHORT)],
    "a wrong document": [INIT, start(WRONG)],
    "the same id twice": [INIT, start(ENDLESS), start(ENDLESS)],
    "stopped": [INIT, start(ENDLESS), {"id": "1", "type": "STOP"}],
    "stopped without a start": [INIT, {"id": "7", "type": "STOP"}],
}
SCRIPTS: dict[Subprotocol, dict[str, list[Any]]] = {
    # Known to differ: the real server calls a list an unknown message, this sandbox rubbish; it closes without a code
    # where this one says 1000; it serves operations of who never said a word of credentials; and it confirms a stop
    # only if that has not overtaken the start.
    LEGACY: {name: script for name, script in BOTH.items() if name not in ("a list", "start first", "stopped")}
    | {"a syntax error": [INIT, start(BROKEN)]},
    TRANSPORT: BOTH
    | {
        "a ping": [{"type": "ping", "payload": {"a": 1}}, INIT],
        "an unasked pong": [INIT, {"type": "pong"}],
        "a number as id": [INIT, start(ENDLESS, 7)],
    },
    CABLE: {
        "subscribed": [channel("subscribe")],
        "subscribed twice": [channel("subscribe"), channel("subscribe")],
        "executed": [channel("subscribe"), execute(ENDLESS)],
        "executed without a channel": [execute(ENDLESS)],
        "a wrong document": [channel("subscribe"), execute(WRONG)],
        "a syntax error": [channel("subscribe"), execute(BROKEN)],
        "unsubscribed": [channel("subscribe"), execute(ENDLESS), channel("unsubscribe")],
        "unknown command": [channel("dance")],
    },
}
CASES = [(subprotocol, case) for subprotocol, scripts in SCRIPTS.items() for case in scripts]
LAST: dict[Subprotocol, Any] = {
    LEGACY: start(SHORT, "last"),
    TRANSPORT: start(SHORT, "last"),
    CABLE: channel("subscribe", "last"),
}
"""Always answered: what came before it is all there was to come."""
LEAST: dict[tuple[Subprotocol, str], int] = {(LEGACY, "the same id twice"): 4}
"""Where the end of an operation may come behind the last answer: how many there are."""


@pytest.mark.parametrize(("subprotocol", "case"), CASES, indirect=["subprotocol"])
async def test_the_sandbox_answers_as_the_real_server(peer: Server, case: str) -> None:
    """Types, ids, shapes and close codes; the words of a sentence are each server's own."""
    script = SCRIPTS[peer.subprotocol][case]
    async with playing() as sandbox:
        url = sandbox.cable_url if peer.subprotocol == CABLE else sandbox.ws_url
        least = LEAST.get((peer.subprotocol, case), 0)
        played = await answers(url, peer.subprotocol, script, await token(sandbox), DOCUMENT, least)
    real = await answers(peer.url, peer.subprotocol, script, TOKEN, 'subscription { n(topic: "honest") }', len(played))
    assert played == real


async def answers(
    url: str, subprotocol: Subprotocol, script: list[Any], secret: str, document: str, least: int = 0
) -> list[Any]:
    """What a server says to the frames, without signs of life; last the close code if it closes.

    `least`: so many answers are waited for, in vain if there are fewer: operations may overtake each other.
    """
    heard: list[Any] = []
    headers = {"Authorization": f"Bearer {secret}"} if subprotocol == CABLE else {}
    async with wire(url, subprotocol, **headers) as link:
        try:
            if subprotocol == CABLE:
                heard.append(shape(await link.hear_message()))
            for frame in script if STALE in script else [*script, LAST[subprotocol]]:
                await link.say(filled(frame, subprotocol, secret, document))
                if frame is INIT and len(heard) == 0:
                    # What comes before the acknowledgement is another case.
                    heard.append(shape((await link.hear_until("connection_ack"))[-1]))
            with anyio.move_on_after(8):
                while len(heard) < least or not any(is_last(frame) for frame in heard):
                    frame = await link.hear()
                    if frame.get("type") not in ("ka", "ping"):
                        heard.append(shape(frame))
        except ConnectionClosed as closed:
            heard.append(int(closed.rcvd.code) if closed.rcvd is not None else 1006)
    # Two operations answer side by side.
    return sorted(heard, key=lambda frame: json.dumps(frame, sort_keys=True))


def filled(frame: Any, subprotocol: Subprotocol, secret: str, document: str) -> str:
    """A frame of a script as it is sent: with this server's words, token and document."""
    words = {
        '"START"': json.dumps(START.get(subprotocol)),
        '"STOP"': json.dumps(STOP.get(subprotocol)),
        '"TOKEN"': json.dumps({"authToken": f"Bearer {secret}"}),
        '"ENDLESS"': json.dumps(document),
        r"\"ENDLESS\"": json.dumps(json.dumps(document))[1:-1],
    }
    text = frame if isinstance(frame, str) else json.dumps(frame)
    for name, word in words.items():
        text = text.replace(name, word)
    return text


def is_last(frame: Any) -> bool:
    """Whether this is the answer to `LAST`."""
    return isinstance(frame, dict) and "last" in str(frame) and frame["type"] in ("complete", "confirm_subscription")


def shape(value: Any, key: str = "") -> Any:
    """A frame without its sentences, and without what an error may say beside one."""
    if isinstance(value, dict):
        # Rails has no other word for an absent payload than to leave it out; the legacy server writes null.
        kept = {k: v for k, v in value.items() if v is not None and k not in ("locations", "path", "extensions")}
        return {k: shape(v, k) for k, v in kept.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "…" if key == "message" else value
