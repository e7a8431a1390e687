"""Somebody who sends webhooks to two instances, keeps a ledger of them, and repeats what was not confirmed."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import anyio

from tests.support.live_webhooks import ATTEMPT_S, Delivery, attempt
from tests.support.program import elapse
from tests.support.waiting import wait_until

PAUSE_S = 0.3
AT_ONCE = 6
ORDERS = 12
PAYMENT, ORDER, POISON = "payment", "order", "poison"


@dataclass(slots=True)
class Sent:
    """One delivery: what it says, when it was made, and when it was first confirmed (0: not yet)."""

    id: str
    kind: str
    body: dict[str, Any]
    made_ms: int
    confirmed_ms: int = 0


@dataclass
class Sender:
    """Payments happen once, orders have versions, and what is poison lacks the order's id.

    `answers`: how often which status, or error, came. The three flags are the faults; `did` counts what they did.
    """

    urls: list[str]
    seed: int
    rate: float
    withhold: bool = False
    double: bool = False
    reorder: bool = False
    poison: bool = False
    ledger: list[Sent] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    _waiting: deque[Sent] = field(default_factory=deque)
    _versions: Counter[int] = field(default_factory=Counter)
    _dice: random.Random = field(default_factory=random.Random)
    _under_way: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    async def work(self) -> None:
        """Make deliveries at the rate that is set, and send them, for ever."""
        connector = aiohttp.TCPConnector(limit=4 * AT_ONCE, force_close=True)
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        async with session as http, anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(self._send, http)
            due = time.monotonic()
            while True:
                await elapse(max(0.0, due - time.monotonic()))
                if not self.rate:
                    due = time.monotonic() + PAUSE_S
                    continue
                due = max(due + 1 / self.rate, time.monotonic() - 1)
                self._make()

    async def confirmed(self, deadline_s: float) -> None:
        """One more version of every order, and nothing else; returns when everything is confirmed, or it took long."""
        self.rate, self.withhold, self.double, self.reorder, self.poison = 0.0, False, False, False, False
        for number in range(ORDERS):
            self._order(number)
        await wait_until(lambda: not self._waiting and not self._under_way, deadline_s, "all webhooks to be confirmed")

    def _make(self) -> None:
        if self.poison:
            number = len(self.ledger)
            self._put(POISON, f"psn_{number:06}", {"type": "order", "order": {"version": number}})
            self.did["poison"] += 1
            self.poison = False
        elif self._dice.random() < 0.5:
            number = len(self.ledger)
            self._put(PAYMENT, f"msg_{number:06}", {"type": "payment", "amount": number, "text": f"Zahlung № {number}"})
        else:
            self._order(self._dice.randrange(ORDERS))

    def _order(self, number: int) -> None:
        self._versions[number] += 1
        version = self._versions[number]
        body = {"type": "order", "order": {"id": f"o{number}", "version": version}, "total": version * 1.5}
        self._put(ORDER, f"ord_{number:02}_{version}", body)

    def _put(self, kind: str, id_: str, body: dict[str, Any]) -> None:
        sent = Sent(id_, kind, body, time.time_ns() // 1_000_000)
        self.ledger.append(sent)
        self._waiting.append(sent)

    async def _send(self, http: aiohttp.ClientSession) -> None:
        while True:
            self.did["withheld"] += self.withhold and bool(self._waiting)
            if self.withhold or len(self._waiting) < 1 + self.reorder:
                await elapse(PAUSE_S)
                continue
            if self.reorder:
                # The newest first: of an order, the older state comes after it.
                sent = self._waiting.pop()
                self.did["reordered"] += 1
            else:
                sent = self._waiting.popleft()
            self._under_way += 1
            try:
                await self._deliver(http, sent)
                if self.double:
                    await self._deliver(http, sent)
                    self.did["doubled"] += 1
            finally:
                self._under_way -= 1

    async def _deliver(self, http: aiohttp.ClientSession, sent: Sent) -> None:
        """Until it is confirmed, each attempt at another instance."""
        delivery = Delivery(sent.id, json.dumps(sent.body).encode())
        place = self._dice.randrange(len(self.urls))
        while True:
            status = await attempt(http, self.urls[place], delivery, self.answers)
            if 200 <= status < 300:
                sent.confirmed_ms = sent.confirmed_ms or time.time_ns() // 1_000_000
                return
            # 401 is the answer of one whose clock has stepped.
            assert status in (0, 401, 429, 503), f"{sent.id} was refused with {status}"
            place = (place + 1) % len(self.urls)
            await elapse(PAUSE_S)
