"""What a source has taken in by webhook and the ledger does not hold yet, while its door is open."""

from __future__ import annotations

import math

import anyio

from bridge.engine.deliveries import Frames, trace_of
from bridge.engine.ports import Offer


class Delivery:
    """One request under way, for which somebody waits until `until` (seconds of the event loop's clock).

    `settled` is set when all of it is stored (nothing is `left`), when the source was closed before that (`lost`), and
    when it takes too long (`late`): it stays under way then, with another `settled`.
    """

    __slots__ = ("_intake", "events", "late", "left", "lost", "settled", "size", "until")

    def __init__(self, intake: Intake, frames: int, events: int, size: int, until: float) -> None:
        self._intake = intake
        self.left = frames
        self.events = events
        self.size = size
        self.until = until
        self.lost = self.late = False
        self.settled = anyio.Event()

    def stored(self) -> None:
        """The ledger holds one more of its frames."""
        self.left -= 1
        if not self.left:
            self._intake.leave(self)
            self.settled.set()

    def give_up(self) -> None:
        """Nobody waits any longer for its answer; whoever waits for it to be stored still does."""
        self.late = True
        waiting, self.settled = self.settled, anyio.Event()
        waiting.set()


class Intake:
    """From one opening of a door to its closing. What is under way counts until it is stored, whoever still waits."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._under_way: set[Delivery] = set()
        self._nap = anyio.CancelScope()
        self.size = self.events = 0

    @property
    def deliveries(self) -> int:
        return len(self._under_way)

    def offer(self, told: Frames, events: int, size: int, until: float) -> Delivery:
        """Hand over a delivery's frames, for which somebody waits until then. Returns at once."""
        delivery = Delivery(self, len(told), events, size, until)
        if until < self._nap.deadline:
            self._nap.deadline = until
        self._under_way.add(delivery)
        self.size += size
        self.events += events
        for frame in told:
            self._offer(frame, size // len(told), delivery.stored, trace_of(frame))
        return delivery

    async def watch(self) -> None:
        """Never returns: gives up what nobody waits for any longer. Needed as long as anything is offered.

        One clock for all of them, which is set anew once in the time that a delivery may take: nearly all are stored
        long before, and a clock for each would cost more than to look at its signature.
        """
        while True:
            with self._nap:
                await anyio.sleep_forever()
            now = anyio.current_time()
            for delivery in self._under_way:
                if delivery.until <= now and not delivery.late:
                    delivery.give_up()
            later = (delivery.until for delivery in self._under_way if delivery.until > now)
            self._nap = anyio.CancelScope(deadline=min(later, default=math.inf))

    async def settled(self) -> None:
        """Returns when all that are under way now are stored, or lost as this was closed."""
        for delivery in list(self._under_way):
            while delivery.left and not delivery.lost:
                await delivery.settled.wait()

    def leave(self, delivery: Delivery) -> None:
        self._under_way.discard(delivery)
        self.size -= delivery.size
        self.events -= delivery.events

    def close(self) -> None:
        for delivery in self._under_way:
            delivery.lost = True
            delivery.settled.set()
