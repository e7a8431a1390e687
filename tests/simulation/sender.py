"""A shop that is not read: it posts webhooks to whichever process takes them, until each is confirmed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

import anyio

from bridge.adapter import Json
from bridge.engine.ports import Incoming
from tests.simulation.loop import LIFE, outside
from tests.simulation.reading import SECRET
from tests.simulation.shop import Shop
from tests.support.sim_vendor import GONE

if TYPE_CHECKING:
    from tests.simulation.fate import Fate
    from tests.simulation.process import Process

PATIENCE_S = 20.0
"""So long a sender waits for an answer."""
PAUSES_S = (0.5, 1.0, 3.0, 10.0)
"""Between two attempts; the last for ever."""


class Sender(Shop):
    """`processes`: to whom it posts. `stored` says whether the ledger holds what is told; `broken`: what was confirmed
    and is not there.
    """

    def __init__(self, name: str, fate: Fate, processes: Sequence[Process], stored: Callable[[Json], bool]) -> None:
        super().__init__(name, fate)
        self._chance = Random(f"sender {fate.seed}")
        self._processes = processes
        self._stored = stored
        self._open: set[str] = set()
        self._sent = 0
        self.broken: list[str] = []

    @property
    def settled(self) -> str:
        """See `Shop.settled`."""
        return f"{sorted(self._open)} are not confirmed" if self._open else ""

    def _push(self, row: Json) -> None:
        self._sent += 1
        id_ = f"m{self._sent}"
        self._open.add(id_)
        told = {**row, "gone": True} if row.get("value") == GONE else row
        outside().run(asyncio.ensure_future, self._deliver(id_, told))

    async def _deliver(self, id_: str, row: Json) -> None:
        """Post until it is confirmed; now and then once more, as senders do that did not note the answer."""
        tries = 0
        while True:
            status = await self._post(row)
            if status == 202:
                if not self._stored(row):
                    self.broken.append(f"lost: {row} was confirmed at {anyio.current_time():.3f} and is not stored")
                self._open.discard(id_)
                if not self.pushes.lossy or self._chance.random() < 0.8:
                    return
                self._open.add(id_)
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)] * (0.5 + self._chance.random()))
            tries += 1

    async def _post(self, row: Json) -> int:
        """The status; 0 where nobody answered."""
        process = self._chance.choice(self._processes)
        life = process.life
        if life is None or life.dead or process.hooks is None:
            return 0
        body = json.dumps(row).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {SECRET}"}
        context = outside()
        context.run(LIFE.set, life)
        answer = context.run(
            asyncio.ensure_future, process.hooks(Incoming("POST", f"/hooks/{self.name}", headers, body))
        )
        process.wire.told(f"webhook {row['id']}")
        process.wire.risk()
        done, _ = await asyncio.wait([answer], timeout=PATIENCE_S)
        if not done or life.dead:
            # What a dead process would have said nobody hears.
            answer.cancel()
            return 0
        return answer.result().status
