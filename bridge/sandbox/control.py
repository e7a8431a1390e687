"""The control interface of a sandbox in another process: plain HTTP and JSON under `/_sandbox/`.

| request | answer |
|---|---|
| `GET /_sandbox/ledger?since=N` | `{"changes": […], "last": n}`: the ledger after change N |
| `GET /_sandbox/issued?since=N` | what was issued besides changes, see the vendor's `issued` |
| `GET /_sandbox/state` | `{scope: {id: record}}`: what the vendor holds now |
| `GET /_sandbox/counters` | how often what was asked, refused and spoilt |
| `GET` `POST` `DELETE /_sandbox/faults` | the plan; add a fault (fields of `faults.Fault`); behave |
| `GET /_sandbox/acks?since=N` | the events that were acknowledged by a client after the Nth (platform only) |
| `POST /_sandbox/change` `{"n": 5, "kind": ""}` | `{"changes": […]}`: makes n changes now |
| `POST /_sandbox/rate` `{"changes_per_s": 0}` | sets the pace of the background changes; 0 stops them |
| `POST /_sandbox/options` `{"ka_s": 5}` | alters options of the vendor |
| `POST /_sandbox/revoke` | every token handed out so far is refused from now on |
| `POST /_sandbox/drop` `{"code": 1012}` | closes every socket at once (1006: cuts it); says how many |
| `POST /_sandbox/restart` `{"seconds": 1, "code": 1012}` | the same, and answers all with 503 for so long |
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from bridge.sandbox.delivery import Exchange
from bridge.sandbox.faults import Fault, Faults
from bridge.sandbox.ledger import Change, Ledger

PREFIX = "/_sandbox/"
MOST_AT_ONCE = 10_000


class Controlled(Protocol):
    """What every vendor's sandbox offers to tests and to the demo."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def faults(self) -> Faults: ...
    def make_change(self, n: int = 1, kind: str = "") -> list[Change]: ...
    def state(self) -> Mapping[str, Mapping[str, Any]]: ...
    def counters(self) -> Mapping[str, Any]: ...
    def issued(self, since: int = 0) -> Mapping[str, Any]: ...
    def revoke_tokens(self) -> None: ...
    def set_rate(self, changes_per_s: float) -> None: ...
    def alter(self, options: Mapping[str, Any]) -> None: ...
    def drop_sockets(self, code: int = 1012) -> int: ...
    def restart(self, seconds: float = 0.0, code: int = 1012) -> int: ...
    def acks(self, since: int = 0) -> Mapping[str, Any]: ...


async def control(sandbox: Controlled, exchange: Exchange) -> None:
    """Answer one request under `/_sandbox/`: 400 with a sentence for what cannot be done, 404 for the unknown."""
    body = await exchange.body()
    if body is None:
        return
    try:
        data = msgspec.json.decode(body) if body else {}
        answer = _answer(sandbox, exchange, data)
    except (ValueError, TypeError, KeyError) as problem:
        await exchange.deliver(msgspec.json.encode({"problem": str(problem)}), status=400)
        return
    status = 404 if answer is None else 200
    await exchange.deliver(msgspec.json.encode(answer), status=status)


def _answer(sandbox: Controlled, exchange: Exchange, data: Any) -> Any:
    match exchange.method, exchange.path.removeprefix(PREFIX):
        case "GET", "ledger":
            since = _since(exchange)
            changes = [change.to_json() for change in sandbox.ledger.since(since)]
            return {"changes": changes, "last": len(sandbox.ledger)}
        case "GET", "acks":
            return sandbox.acks(_since(exchange))
        case "GET", "issued":
            return sandbox.issued(_since(exchange))
        case "GET", "state":
            return sandbox.state()
        case "GET", "counters":
            return sandbox.counters()
        case "GET", "faults":
            return {"planned": sandbox.faults.to_json(), "served": sandbox.faults.served}
        case "POST", "faults":
            sandbox.faults.planned.append(Fault.from_json(data))
            return {"planned": sandbox.faults.to_json()}
        case "DELETE", "faults":
            sandbox.faults.clear()
            return {"planned": []}
        case "POST", "change":
            n = int(data.get("n", 1))
            if not 0 <= n <= MOST_AT_ONCE:
                raise ValueError(f"n must be between 0 and {MOST_AT_ONCE}")
            return {"changes": [change.to_json() for change in sandbox.make_change(n, data.get("kind", ""))]}
        case "POST", "rate":
            sandbox.set_rate(float(data["changes_per_s"]))
            return {"changes_per_s": float(data["changes_per_s"])}
        case "POST", "options":
            sandbox.alter(data)
            return data
        case "POST", "revoke":
            sandbox.revoke_tokens()
            return {}
        case "POST", "drop":
            return {"dropped": sandbox.drop_sockets(int(data.get("code", 1012)))}
        case "POST", "restart":
            return {"dropped": sandbox.restart(float(data.get("seconds", 0)), int(data.get("code", 1012)))}
    return None


def _since(exchange: Exchange) -> int:
    return int(urllib.parse.parse_qs(exchange.query).get("since", ["0"])[0])
