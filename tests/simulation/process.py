"""One instance: it lives, dies at a step that is drawn, and is started again over what the stream holds."""

from __future__ import annotations

import asyncio
import traceback
from random import Random
from typing import TYPE_CHECKING

from adapters.webhook import Adapter as WebhookAdapter
from bridge.core.lifecycle import State
from bridge.core.secret import Masker, Secret
from bridge.edge.codec import encode
from bridge.engine.hooks import HookFeed, Hooks
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.sharing import Sharing
from bridge.engine.source import Source, World
from bridge.engine.supervisor import Supervisor
from bridge.engine.tenancy import Freehold, LeaseOffice
from tests.simulation.line import Line
from tests.simulation.loop import LIFE, Life, outside
from tests.simulation.reading import SECRET, ShopAdapter, ShopSettings, webhooks
from tests.simulation.wire import Wire, WiredLeases, WiredLedger
from tests.support.memory_leases import MemoryLeases, tenant
from tests.support.sim_vendor import wall

if TYPE_CHECKING:
    from tests.simulation.story import Story


class Process:
    """When it dies it is started again. `hooks`: where webhooks are posted to, if it lives."""

    def __init__(self, story: Story, name: str, number: int) -> None:
        self.story = story
        self.name = name
        self.skew_ms = story.fate.skew_ms[number]
        self.lives = 0
        self.life: Life | None = None
        self.woken_at = 0.0
        """When it went on last, after it had stood still."""
        self.hooks: Hooks | None = None
        self.wire: Wire
        self.line: Line
        self.leases: MemoryLeases
        self._works: Runner | Supervisor | None = None

    def start(self) -> None:
        """A new life, in a context of its own."""
        story = self.story
        self.lives += 1
        life = self.life = Life(f"{self.name}{self.lives}")
        story.tell(life.name, "starts")
        self.wire = Wire(life, Random(f"wire {story.fate.seed} {life.name}"), lambda what: story.tell(life.name, what))
        self.line = Line(story.shops, self.wire, lambda name: story.works(self, name))
        self.leases = MemoryLeases(story.bucket)
        story.trouble(self)
        for shop in story.shops.values():
            shop.forget()
        life.ends = self._ended
        context = outside()
        context.run(LIFE.set, life)
        context.run(asyncio.ensure_future, self._live(life))

    def stop(self) -> None:
        """SIGTERM: it may clean up. It is started again soon."""
        if self.life is not None and not self.life.dead:
            self.story.tell(self.life.name, "is told to stop")
            self.wake()
            self.life.scope.cancel()

    def wake(self) -> None:
        """SIGCONT, if it lives."""
        if self.life is not None:
            self.woken_at = asyncio.get_running_loop().time()
            self.life.wake()

    def states(self) -> dict[str, State]:
        """Of its sources, while it lives."""
        works = self._works
        if works is None:
            return {}
        statuses = [works.status] if isinstance(works, Runner) else works.statuses()
        return {status.name: status.state for status in statuses}

    def _ended(self) -> None:
        assert self.life is not None
        self.story.crashes += 1
        self.story.tell(self.life.name, "dies")

    async def _live(self, life: Life) -> None:
        story = self.story
        try:
            with life.scope:
                self._works = works = self._made(life)
                await works.run()
        except asyncio.CancelledError:
            # The story is over.
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a bug
            if not life.dead:
                story.bugs.append("".join(traceback.format_exception(error)))
            story.tell(life.name, f"fails: {error!r}")
        if isinstance(self._works, Supervisor) and self._works.bugs and not life.dead:
            story.bugs.append(f"the supervisor of {life.name} tells of a bug")
        life.dead = True
        self._works = self.hooks = None
        pause_s = story.chance.choice([0.05, 1.0, 10.0])
        asyncio.get_running_loop().call_later(pause_s, self.start, context=outside())

    # --- what it consists of ---

    def _made(self, life: Life) -> Runner | Supervisor:
        fate = self.story.fate
        world = self._world(life)
        if fate.pushed:
            return Runner(self._door(fate.names[0], world), world)
        sources = [self._source(name) for name in fate.names]
        return Supervisor(sources, world) if fate.shared else Runner(sources[0], world)

    def _world(self, life: Life) -> World:
        fate = self.story.fate
        chance = Random(f"roll {fate.seed} {life.name}")

        def clock() -> int:
            return wall() + self.skew_ms

        tenancies: Freehold | LeaseOffice = Freehold()
        sharing: Sharing | None = None
        if fate.processes > 1:
            me = tenant(self.name, pid=self.lives, started=self.lives, place=self.name)
            leases, lease_s = WiredLeases(self.leases, self.wire), fate.lease_s
            if fate.shared:
                sharing = Sharing(leases, me, lease_s=lease_s, wall=clock, roll=chance.random, alive=lambda _: False)
            tenancies = LeaseOffice(
                leases, me, lease_s=lease_s, wall=clock, roll=chance.random, alive=lambda _: False, sharing=sharing
            )
        return World(
            ledger=WiredLedger(self.story.ledger, self.wire), http=self.line, quotas=Quotas(), encode=encode,
            wall=clock, roll=chance.random, masker=Masker(), owner={"instance": self.name}, tenancies=tenancies,
            sharing=sharing,
        )  # fmt: skip

    def _source(self, name: str) -> Source:
        fate, shop = self.story.fate, self.story.shops[name]
        settings = ShopSettings(
            name=name, adapter="sim", page_size=fate.page_size, every_s=fate.every_s, versioned=fate.versioned,
            deletes=fate.deletes, slow_walk=fate.slow_walk, journal_every_s=fate.journal_every_s,
            telemetry=fate.telemetry, reach_s=fate.reach_s, overlap_s=fate.overlap_s, confirms=fate.confirms,
            quota=fate.quota, delete_brake_count=1000,
        )  # fmt: skip
        return Source(ShopAdapter(settings), shop.feed if fate.live else None, hands_over=fate.hands_over)

    def _door(self, name: str, world: World) -> Source:
        adapter = WebhookAdapter(webhooks(name))
        world.masker.add(Secret(SECRET))
        self.hooks = Hooks(world.wall)
        door = self.hooks.door(name, adapter.hook)
        return Source(adapter, lambda _: HookFeed(door), session=door.statistics, shared=True)
