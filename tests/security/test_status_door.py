"""The status page's door: who holds it open, and who guesses its token, keeps nobody out who belongs there."""

from __future__ import annotations

import asyncio
import hmac
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml  # type: ignore[import-untyped]

from bridge.cli import status_page
from bridge.core.config import IngressSettings
from bridge.core.secret import Secret
from bridge.edge import listener as edge
from bridge.edge.listener import listening
from bridge.engine.ports import Incoming
from bridge.engine.status_login import Login
from tests.support.engine import on_virtual_clock
from tests.support.knocking import Desk, knocking
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
TOKEN = "a-token-of-some-length-0001"
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_others_cannot_keep_health_checks_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all places taken by others this machine is still answered; a stranger more is closed at once."""
    near: list[bool] = []
    monkeypatch.setattr(edge, "_is_near", lambda _: near[-1])
    settings = IngressSettings(listen="127.0.0.1:0", max_connections=3)
    async with listening(settings, Desk(), table="status", reserve=1) as door, anyio.create_task_group() as group:
        near.append(False)
        held = []
        for number in range(3):
            host, _, port = door.addresses[0].rpartition(":")
            held.append(await asyncio.open_connection(host, int(port)))
            await wait_until(lambda number=number: door.counts.connections == number + 1)
        async with knocking(door) as stranger:
            assert await stranger.ended() == b""
        near.append(True)
        async with knocking(door) as probe:
            assert (await probe.ask(GET)).status == 200
            async with knocking(door) as second:
                assert await second.ended() == b"", "what is kept free is bounded, too"
        assert door.counts.refused == 2
        for _, writer in held:
            writer.transport.abort()
        group.cancel_scope.cancel()


def test_who_is_near() -> None:
    """This machine's own addresses, also as IPv6 spells those of IPv4, and Unix sockets; nobody else."""
    own: list[Any] = [("127.0.0.1", 1), ("127.3.2.1", 1), ("::1", 1, 0, 0), ("::ffff:127.0.0.1", 1, 0, 0), "", b""]
    assert all(map(edge._is_near, own))
    assert not any(
        map(edge._is_near, [("10.0.0.1", 1), ("::ffff:10.0.0.1", 1, 0, 0), ("fe80::1%lo", 1, 0, 0), ("x", 1)])
    )
    assert status_page.RESERVED == 20


def test_a_guesser_does_not_lock_out_who_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind one proxy, by header or form: a thousand wrong ones at once, and the right one opens after a second."""
    compared: list[tuple[bytes, bytes]] = []
    really = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return really(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    login = Login(Secret(TOKEN))

    def ask(**headers: str) -> Incoming:
        return Incoming("GET", "/metrics", headers, b"", query={}, peer="10.0.0.1")

    async def script() -> None:
        statuses: list[int] = []

        async def guess(number: int) -> None:
            reply = await login.refusal(ask(authorization=f"Bearer {TOKEN}{number}"))
            assert reply is not None
            statuses.append(reply.status)

        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            for number in range(1000):
                group.start_soon(guess, number)
        assert sorted(statuses) == [401] * 10 + [429] * 990
        assert await login.refusal(ask(authorization=f"Bearer {TOKEN}")) is None
        form = Incoming("POST", "/login", {}, b"token=" + TOKEN.encode(), query={}, peer="10.0.0.1")
        assert (await login.open(form)).status == 204
        assert anyio.current_time() == begun + 3
        assert len(compared) == 1002, "each was compared by the function that takes equal time"
        odd = "Bearer \u00e9\ud800".encode("utf-8", "replace").decode("latin-1")
        assert await login.refusal(ask(authorization=odd)) is not None

    on_virtual_clock(script)


def test_cores_hold_no_secrets() -> None:
    """Neither the units nor the containers leave a core dump behind, which would hold every token."""
    units = sorted(ROOT.glob("systemd/*.service"))
    assert units
    for unit in units:
        assert "\nLimitCORE=0\n" in unit.read_text("utf-8"), unit.name
    services = yaml.safe_load((ROOT / "config/compose/compose.yaml").read_text("utf-8"))["services"]
    for name, service in services.items():
        assert service["ulimits"]["core"] == 0, name


def test_what_gives_a_rule_something_to_ask() -> None:
    """Held-back deletes and a refused reload are measured, and each has an alert that asks for it."""
    from bridge.core.measures import METRICS

    rules = [rule for group in yaml.safe_load((ROOT / "config/prometheus-alerts.yml").read_text("utf-8"))["groups"]
             for rule in group["rules"]]  # fmt: skip
    for metric, alert in (("bridged_deletes_held", "DeletesHeld"), ("bridged_reload_refused", "ReloadRefused")):
        assert metric in {one.name for one in METRICS}
        assert metric in next(rule["expr"] for rule in rules if rule["alert"] == f"Bridged{alert}")
