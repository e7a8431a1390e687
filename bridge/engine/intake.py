"""What a source has taken in by webhook and the ledger does not hold yet, while its door is open."""

from __future__ import annotations

import anyio

from bridge.engine.deliveries import Frames, trace_of
from bridge.engine.ports import Offer


class Delivery:
    """One request under way. `lost`: the source was closed before all of it was stored."""

    __slots__ = ("_intake", "events", "left", "lost", "settled", "size")

    def __init__(self, intake: Intake, frames: int, events: int, size: int) -> None:
        self._intake = intake
        self.left = frames
        self.events = events
        self.size = size
        self.lost = False
        self.settled = anyio.Event()

    def stored(self) -> None:
        """The ledger holds one more of its frames."""
        self.left -= 1
        if not self.left:
            self._intake.leave(self)
            self.settled.set()


class Intake:
    """From one opening of a door to its closing. What is under way counts until it is stored, whoever still waits."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._under_way: set[Delivery] = set()
        self.size = self.events = 0

    @property
    def deliveries(self) -> int:
        return len(self._under_way)

    def offer(self, told: Frames, events: int, size: int) -> Delivery:
        """Hand over a delivery's frames. Returns at once."""
        delivery = Delivery(self, len(told), events, size)
        self._under_way.add(delivery)
        self.size += size
        self.events += events
        for frame in told:
            self._offer(frame, size // len(told), delivery.stored, trace_of(frame))
        return delivery

    async def settled(self) -> None:
        """Returns when all that are under way now are stored, or lost as this was closed."""
        for delivery in list(self._under_way):
            await delivery.settled.wait()

    def leave(self, delivery: Delivery) -> None:
        self._under_way.discard(delivery)
        self.size -= delivery.size
        self.events -= delivery.events

    def close(self) -> None:
        for delivery in self._under_way:
            delivery.lost = True
            delivery.settled.set()
