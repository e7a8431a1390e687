"""A sender of signed webhooks that repeats what was not confirmed, and a daemon with a source that takes them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from tests.support.nats_server import free_port
from tests.support.program import Child, elapse

SOURCE = "shop"
KEY = base64.b64encode(b"a key that only tests know, 32 b.").decode()
ATTEMPTS = 400
"""A sender that is refused so often gives up, and the test with it."""
PAUSE_S, LONGEST_S = 0.05, 0.5
ATTEMPT_S = 15.0


@dataclass(frozen=True)
class Delivery:
    """One webhook: what happened, and the id that every attempt to deliver it bears."""

    id: str
    body: bytes


def payments(count: int, prefix: str = "msg") -> list[Delivery]:
    """What happens once each."""
    return [
        Delivery(f"{prefix}_{number:06}", json.dumps({"type": "payment", "amount": number}).encode())
        for number in range(count)
    ]


def orders(count: int, versions: int) -> list[Delivery]:
    """States of orders; each delivery is a whole one, with its version."""
    return [
        Delivery(
            f"ord_{number:04}_{version}",
            json.dumps({"type": "order", "order": {"id": f"o{number}", "version": version}}).encode(),
        )
        for number in range(count)
        for version in range(1, versions + 1)
    ]


def signed(delivery: Delivery, *, at_s: float | None = None, key: str = KEY) -> dict[str, str]:
    """The headers of an attempt made now: Standard Webhooks, `v1`."""
    at = str(int(time.time() if at_s is None else at_s))
    content = f"{delivery.id}.{at}.".encode() + delivery.body
    digest = hmac.digest(base64.b64decode(key), content, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": delivery.id,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


async def attempt(http: aiohttp.ClientSession, url: str, delivery: Delivery, answers: Counter[str]) -> int:
    """Post it once. The status; 0 when there was none. `answers` counts which status, or error, came."""
    try:
        async with http.post(url, data=delivery.body, headers=signed(delivery)) as response:
            await response.read()
            answers[str(response.status)] += 1
            return response.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        answers[type(error).__name__] += 1
        return 0


@dataclass
class Sender:
    """Posts deliveries to one URL until each is confirmed, several at a time.

    `again`: how many of a hundred it posts once more though they were confirmed, as one does whose network lost the
    confirmation. `fresh`: a new connection for each attempt. `answers`: how often which status, or error, came.
    """

    url: str
    seed: int = 1
    at_once: int = 16
    again: int = 5
    fresh: bool = False
    confirmed: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    attempts: int = 0

    async def send(self, deliveries: Iterable[Delivery]) -> None:
        """Returns when all of them are confirmed; fails when one is refused for good, or too often."""
        dice = random.Random(self.seed)
        waiting = list(deliveries)
        dice.shuffle(waiting)
        connector = aiohttp.TCPConnector(limit=self.at_once, force_close=self.fresh)
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        async with session as http, anyio.create_task_group() as tasks:
            for number in range(self.at_once):
                tasks.start_soon(self._work, http, waiting, random.Random(self.seed + number))

    async def _work(self, http: aiohttp.ClientSession, waiting: list[Delivery], dice: random.Random) -> None:
        while waiting:
            delivery = waiting.pop()
            await self._deliver(http, delivery)
            self.confirmed.append(delivery.id)
            if dice.randrange(100) < self.again:
                await self._deliver(http, delivery)

    async def _deliver(self, http: aiohttp.ClientSession, delivery: Delivery) -> None:
        pause = PAUSE_S
        for _ in range(ATTEMPTS):
            self.attempts += 1
            status = await attempt(http, self.url, delivery, self.answers)
            if 200 <= status < 300:
                return
            assert status in (0, 429, 503), f"{delivery.id} was refused with {status}"
            await elapse(pause)
            pause = min(2 * pause, LONGEST_S)
        raise AssertionError(f"{delivery.id} was not taken in {ATTEMPTS} attempts: {dict(self.answers)}")


EVENTS = """
[[source.event]]
when = { "body.type" = "order" }
entity = "order"
id = "body.order.id"
change = "changed"
version = "body.order.version"

[[source.event]]
entity = "payment"
"""


def webhook_daemon(folder: Path, nats_url: str, *, name: str = "daemon", port: int = 0) -> tuple[Child, str]:
    """A daemon with one source that takes webhooks, and the URL to post to: the same in all its lives."""
    port = port or free_port()
    path = folder / f"{name}.toml"
    daemon = Child(folder, name, ["run", "--config", str(path)], {"SHOP_KEY": f"whsec_{KEY}"})
    lines: Sequence[Any] = [
        "[nats]",
        f"url = {json.dumps(nats_url)}",
        "[status]",
        "enabled = false",
        "[daemon]",
        f"instance = {json.dumps(name)}",
        "lease_s = 30.0",
        f"state_dir = {json.dumps(str(daemon.state_dir))}",
        'log_format = "json"',
        "[ingress]",
        f'listen = "127.0.0.1:{port}"',
        "[[source]]",
        f"name = {json.dumps(SOURCE)}",
        'adapter = "webhook"',
        'verify = "standard"',
        'secrets = [{ env = "SHOP_KEY" }]',
        EVENTS,
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return daemon, f"http://127.0.0.1:{port}/hooks/{SOURCE}"
