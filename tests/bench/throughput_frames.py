"""What a vendor of the throughput bench sends: each event bears a number of 16 digits that no other one has.

A platform takes that number of a packet for a time in microseconds, so all of them are such: some moment of today.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Literal

from tests.bench.packets import packet
from tests.bench.peer import frame
from tests.bench.vendor import session

Live = Literal["graphql", "packets", "entities"]
"""What is pushed: frames of `graphql-transport-ws`, Socket.IO's packets of telemetry, rows of a store that changed."""
DIGITS = 16
DAY_MS = 86_400_000
_VARIETY = 64
_MARK = "@"
_ROW = (
    '{"_id":"66a8f3c0@","id":"pump-%d","name":"Pump %d","_gid":"5fd1a7c0d1e2b4a596701234","_oid":"66a8f3c0@",'
    '"model":"5fd1a7c0d1e2b4a59670%04d","type":"device","time":%d,"status":"%s","description":"Heat pump in plant %d",'
    '"config":{"interval":%d,"unit":"celsius","limits":{"low":%d,"high":%d},"labels":["heating","plant-%d"]},'
    '"links":{"site":"5fd1a7c0d1e2b4a596%06d","owner":"5fd1a7c0d1e2b4a596799999"},"firmware":"4.%d.1","license":true}'
)


def number_of(id_: str, base: int) -> int:
    """Which event of a run from `base` on this is the id of; negative for what is none of a bench."""
    digits = id_[-DIGITS:]
    return int(digits) - base if digits.isdigit() else -1


def frames(kind: Live, id_: str, base: int, count: int) -> list[bytes]:
    """So many of them, ready for the socket. `id_`: of the subscription, which GraphQL repeats."""
    return [frame(text) for text in _TEXTS[kind](id_, base, count)]


def first_ms(base: int) -> int:
    """When the first row of `rows` was created: a day before, as all of them are past."""
    return base // 1000 - DAY_MS


def rows(base: int, count: int) -> list[bytes]:
    """So many rows of a store, some 600 bytes of JSON each; row N was created N ms after the first."""
    made, at_ms = _rows(), first_ms(base)
    return [
        made[number % _VARIETY]
        .replace('"time":0', f'"time":{at_ms + number}')
        .replace(_MARK, str(base + number))
        .encode()
        for number in range(count)
    ]


def _graphql(id_: str, base: int, count: int) -> Iterator[str]:
    rng = random.Random(base)
    made = [session(rng, base // 1000) | {"id": f"session-{_MARK}"} for _ in range(_VARIETY)]
    texts = [
        json.dumps({"id": id_, "type": "next", "payload": {"data": {"change": one}}}, separators=(",", ":"))
        for one in made
    ]
    # Addresses of people hold the sign as well.
    return (texts[n % _VARIETY].replace(f"session-{_MARK}", f"session-{base + n}") for n in range(count))


def _packets(_id: str, base: int, count: int) -> Iterator[str]:
    return (packet(number, base + number) for number in range(count))


def _entities(_id: str, base: int, count: int) -> Iterator[str]:
    made, at_ms = _rows(), base // 1000
    texts = [
        f'42["object-update",{{"_msgid":"mXuA{_MARK}","_oid":"66a8f3c0{_MARK}","event":"object-update",'
        f'"time":{at_ms},"data":{row.replace(chr(34) + "time" + chr(34) + ":0", f"{chr(34)}time{chr(34)}:{at_ms}")}}}]'
        for row in made
    ]
    return (texts[number % _VARIETY].replace(_MARK, str(base + number)) for number in range(count))


def _rows() -> list[str]:
    states = ("online", "offline", "service")
    return [_ROW % (n, n, n, 0, states[n % 3], n % 7, 10 + n, -n, 60 + n, n % 7, n, n % 10) for n in range(_VARIETY)]


_TEXTS = {"graphql": _graphql, "packets": _packets, "entities": _entities}
