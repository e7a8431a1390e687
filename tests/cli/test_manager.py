"""What a service manager is told, and when, on a virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise

import anyio
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from bridge.cli.manager import Manager
from bridge.engine.pulse import Pulse
from bridge.engine.readiness import Readiness


class Told:
    """A manager and what it was told, each message with the moment it came."""

    def __init__(self, watchdog_s: float | None = 60.0) -> None:
        self.messages: list[tuple[float, dict[str, object]]] = []
        self.pulse = Pulse(asked=True)
        self.readiness = Readiness(["nats", "webhooks"])
        self.headline = "1 source: 1 live"
        self.manager = Manager(self._note, self.pulse, watchdog_s=watchdog_s, monotonic_ns=lambda: 5_000_001_234)
        self.began = 0.0

    def _note(self, **values: object) -> None:
        self.messages.append((anyio.current_time() - self.began, values))

    def since(self) -> list[dict[str, object]]:
        """What came since this was asked last."""
        told = [message for _, message in self.messages]
        self.messages.clear()
        return told

    def ready(self) -> None:
        self.manager.attach(self.readiness, lambda: self.headline)
        self.readiness.reach("nats")
        self.readiness.reach("webhooks")

    def run(self, script: Callable[[], Awaitable[None]]) -> None:
        """The manager's loop beside the script."""

        async def main() -> None:
            self.began = anyio.current_time()
            async with anyio.create_task_group() as group:
                group.start_soon(self.manager.run)
                with anyio.fail_after(86_400):
                    await script()
                group.cancel_scope.cancel()

        trio.run(main, clock=MockClock(autojump_threshold=0.0))


def test_it_is_ready_when_readiness_is() -> None:
    """Before, more time is asked for at each look, and the status says what is waited for; then READY, and at once."""
    told = Told(watchdog_s=None)

    async def script() -> None:
        await anyio.sleep(11)
        assert told.since() == [
            {"EXTEND_TIMEOUT_USEC": 30_000_000, "STATUS": "starting"},
            {"EXTEND_TIMEOUT_USEC": 30_000_000},
            {"EXTEND_TIMEOUT_USEC": 30_000_000},
        ]
        told.manager.attach(told.readiness, lambda: told.headline)
        told.readiness.hinder("nats", "it does not answer")
        await anyio.sleep(0.1)
        waits = "starting; waiting for nats (it does not answer), webhooks (not yet)"
        assert told.since()[-1]["STATUS"] == waits
        told.readiness.reach("nats")
        await anyio.sleep(0.1)
        assert told.since()[-1]["STATUS"] == "starting; waiting for webhooks (not yet)"
        told.readiness.reach("webhooks")
        await anyio.sleep(0.1)
        assert told.since() == [{"READY": 1, "STATUS": "1 source: 1 live"}]

    told.run(script)


def test_the_status_is_told_when_it_changes() -> None:
    """Every five seconds at most, and not at all while it stays the same."""
    told = Told(watchdog_s=None)

    async def script() -> None:
        told.ready()
        await anyio.sleep(0.1)
        told.since()
        await anyio.sleep(3600)
        assert told.since() == []
        for number in range(100):
            told.headline = f"1 source: 1 live; {number} events a minute"
            await anyio.sleep(0.5)
        assert 9 <= len(told.since()) <= 11

    told.run(script)


def test_signs_of_life_come_often_enough() -> None:
    """At most half the time apart that the watchdog waits, however long that is."""
    for watchdog_s in (1.0, 8.0, 60.0, 3600.0):
        told = Told(watchdog_s)

        async def script(told: Told = told) -> None:
            told.ready()
            await anyio.sleep(100)

        told.run(script)
        at = [moment for moment, message in told.messages if "WATCHDOG" in message]
        assert max(after - before for before, after in pairwise(at)) <= watchdog_s / 2
        assert 100 - at[-1] <= watchdog_s / 2


def test_a_stuck_loop_stops_them() -> None:
    """It is named in the status and once in the log, first; when it goes on, so do the signs of life."""
    told = Told()

    async def script() -> None:
        told.ready()
        with capture_logs() as logs:
            with told.pulse.of("source acme").busy("asking the vendor", 50):
                await anyio.sleep(54)
                assert all("WATCHDOG" in message for message in told.since())
                await anyio.sleep(60)
                later = told.since()
                assert not any("WATCHDOG" in message for message in later)
                said = (
                    "stuck, no sign of life is given: source acme has been asking the vendor for 55 s, which may take "
                )
                assert later[0]["STATUS"] == said + "50 s at most"
            await anyio.sleep(6)
            assert {"STATUS": "1 source: 1 live", "WATCHDOG": 1} in told.since()
        assert [line["event"] for line in logs] == ["watchdog.withheld", "watchdog.resumed"]
        assert (logs[0]["loop"], logs[0]["what"], logs[0]["limit_s"]) == ("source acme", "asking the vendor", 50)

    told.run(script)


def test_a_reload_is_told_with_its_moment() -> None:
    """In one message, in microseconds; READY follows, also where it was refused, which the status says from then on."""
    told = Told(watchdog_s=None)

    async def script() -> None:
        told.ready()
        await anyio.sleep(0.1)
        told.since()
        told.manager.reloading()
        await anyio.sleep(11)
        told.manager.reloaded(ok=False, text="bridged.toml:3: unknown key")
        told.headline = "1 source: 1 waiting"
        await anyio.sleep(11)
        refused = "the new configuration was refused, the old one goes on: bridged.toml:3: unknown key"
        assert told.since() == [
            {"RELOADING": 1, "MONOTONIC_USEC": 5_000_001},
            {"EXTEND_TIMEOUT_USEC": 30_000_000},
            {"EXTEND_TIMEOUT_USEC": 30_000_000},
            {"READY": 1, "STATUS": refused},
        ]
        told.manager.reloading()
        told.manager.reloaded(ok=True, text="1 source changed")
        await anyio.sleep(11)
        assert told.since() == [
            {"RELOADING": 1, "MONOTONIC_USEC": 5_000_001},
            {"READY": 1, "STATUS": "1 source changed"},
            {"STATUS": "1 source: 1 waiting"},
        ]

    told.run(script)


def test_stopping_is_said_once() -> None:
    """With the time it takes, for which no sign of life is expected either; nothing follows it but why it failed."""
    told = Told()

    async def script() -> None:
        told.ready()
        await anyio.sleep(0.1)
        told.since()
        told.manager.stopping("SIGTERM", 45)
        told.manager.stopping("SIGINT", 45)
        await anyio.sleep(100)
        told.manager.failed("NATS denies it", 77, 13)
        usec = 45_000_000
        assert told.since() == [
            {"STOPPING": 1, "STATUS": "stopping: SIGTERM", "EXTEND_TIMEOUT_USEC": usec, "WATCHDOG_USEC": usec},
            {"STATUS": "failed: NATS denies it", "EXIT_STATUS": 77, "ERRNO": 13},
        ]

    told.run(script)


def test_a_reload_that_ends_while_we_stop_does_not_say_ready() -> None:
    """The stop was told, and counts: nothing after it says that we go on."""
    told = Told(watchdog_s=None)

    async def script() -> None:
        told.ready()
        await anyio.sleep(1)
        told.manager.reloading()
        told.manager.stopping("SIGTERM", 45)
        told.since()
        told.manager.reloaded(ok=True, text="nothing has changed")
        told.manager.reloading()
        assert told.since() == []

    told.run(script)
