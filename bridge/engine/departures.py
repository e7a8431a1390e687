"""What has vanished: which entities a complete pass proves absent, who is asked for by id, and what the brake holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from bridge.adapter import Adapter, Ask, CursorExpired, Json, Malformed, Page, Retry, Walk
from bridge.core.absence import Absence
from bridge.core.bookmark import Bookmark, Lasting, way
from bridge.core.errors import WalkRefused
from bridge.core.record import Record
from bridge.core.walk import Pass
from bridge.engine.reader import Reader
from bridge.engine.sequencer import Sequencer

MOST_ASKED = 20
"""So many entities are asked for by their ids after one pass; the others after the next."""
MOST_FAILURES = 3
"""After so many questions in a row without an answer the others wait, too."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Deletes of one walk that wait for an operator."""

    walk: str
    entity: str
    count: int


class Inquiry:
    """Entities that two passes did not show, as they are asked for by id: who is gone, who is there, who knows.

    First somebody is asked for whom the pass did show: a vendor that does not find `witness` finds nobody by id.
    """

    def __init__(self, waiting: Sequence[str], witness: str | None = None) -> None:
        self._waiting = list(waiting[:MOST_ASKED])
        self._witness = witness
        self._failures = 0
        self.left = len(waiting)
        """How many are not settled."""
        self.gone: list[str] = []

    @property
    def next(self) -> str | None:
        """Whom to ask for now; None when this is over."""
        return (self._witness or self._waiting[0]) if self._waiting else None

    @property
    def tries(self) -> bool:
        """Whether `next` is the witness."""
        return self._witness is not None

    def answered(self, *, gone: bool) -> None:
        """The vendor has told of `next`."""
        if self._witness is not None:
            self._witness = None
            if gone:
                self._waiting.clear()
            return
        id_ = self._waiting.pop(0)
        self.left -= 1
        self._failures = 0
        if gone:
            self.gone.append(id_)

    def unclear(self) -> None:
        """Nobody knows whether `next` is there: it is asked for again after the next pass."""
        if self._witness is not None:
            self._waiting.clear()
            return
        self._waiting.pop(0)
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            self._waiting.clear()


class Departures:
    """Of one source, from one opening of its book to the next. Whom the last look did not find lies in the walk's
    cursor, so it need not be two looks of the same life: a life may be shorter than what lies between two passes.
    """

    def __init__(self, adapter: Adapter[Any], reader: Reader, sequencer: Sequencer) -> None:
        self._adapter = adapter
        self._reader = reader
        self._sequencer = sequencer
        self._absences: dict[str, Absence] = {}
        self._elsewhere: dict[str, set[str]] = {}
        self._unclear: dict[str, set[str]] = {}
        self._deaf: set[str] = set()

    async def look(self, state: Pass) -> tuple[list[str], Lasting]:
        """Who is deleted for certain now that this pass is complete, and what the walk's cursor must say. Raises Away.

        They are taken as absent: publish them with `publish`, or ask for each of them first (`Walk.confirms`).
        """
        walk, lasting = state.walk, self.lasting(state.walk)
        if state.coverage.disorder:
            # A vendor that sorts otherwise may have done so before without being found out.
            self._absence(walk).forget()
            return [], lasting
        absent, unproven = await self._missing(state)
        absence = self._absence(walk)
        gone, held = absence.confirm(
            absent,
            known=len(state.ids) + len(absent) + len(unproven),
            unproven=unproven,
            accepted=lasting.accepted,
        )
        if held:
            return [], self._hold(walk, lasting, held)
        first_look = absence.looks == 1
        if first_look and absence.missed and (lasting.held or lasting.accepted is not None):
            # Of what was held before this life began nothing is known until there was a second look.
            return gone, lasting
        if gone and lasting.accepted is not None:
            log.info("deletes.accepted", walk=walk.name, count=len(gone), source=self._sequencer.source)
        unclear = self._unclear.get(walk.name, set())
        unclear.intersection_update(gone)
        # Who gave no answer last time does not keep the others from being asked.
        gone.sort(key=lambda id_: id_ in unclear)
        return gone, replace(lasting, held=0, accepted=None)

    def wanted(self, walk: Walk) -> bool:
        """Whether the second look should come soon: an operator waits, and there was only one."""
        return self.lasting(walk).accepted is not None and self._absence(walk).looks == 1

    async def ask(self, state: Pass, inquiry: Inquiry, since: int) -> None:
        """Ask the vendor for `inquiry.next`. Who is still there is processed as a row of the walk.

        Without a clear answer nothing is concluded, and the pass is none the worse. Raises Refused and Away.
        """
        walk, id_, asked_at = state.walk, inquiry.next, self._sequencer.arrivals.asked()
        if id_ is None:
            return
        ask = Ask(walk, state.window, None, [id_])
        try:
            page = await self._reader.page(ask)
            records = self._answer(ask, page)
        except (Retry, WalkRefused, CursorExpired, Malformed) as error:
            log.debug("inquiry.unclear", walk=walk.name, reason=f"{error}", source=self._sequencer.source)
            if not inquiry.tries:
                self._unclear.setdefault(walk.name, set()).add(id_)
            inquiry.unclear()
            return
        if records:
            self._absence(walk).seen([id_])
            cursor = self._sequencer.cursor(walk.name).value
            await self._sequencer.page(
                records, [], walk=walk.name, cursor=cursor, part_cursor=cursor, cursor_alone=False, first_read=False,
                since=since, asked_at=asked_at, lag_s=walk.lag_s,
            )  # fmt: skip
        if inquiry.tries:
            self._note_witness(walk, found=bool(records))
        inquiry.answered(gone=not records)

    def _note_witness(self, walk: Walk, *, found: bool) -> None:
        if not found and walk.name not in self._deaf:
            log.warning(
                "inquiry.useless", walk=walk.name, source=self._sequencer.source,
                reason="asked by id, the vendor does not find what its list has just shown",
                advice="nothing of this walk is told deleted; check the path of single records, or do not ask by id",
            )  # fmt: skip
        (self._deaf.discard if found else self._deaf.add)(walk.name)

    def _answer(self, ask: Ask, page: Page) -> list[Record]:
        """What the vendor says of the one that was asked for. Raises Malformed."""
        records = [self._adapter.record(ask, row) for row in page.rows]
        if not page.complete or (records and all(record.id not in ask.ids for record in records)):
            raise Malformed("the answer is about something else, or the vendor is still loading")
        return records

    def after(self, inquiry: Inquiry, walk: Walk, lasting: Lasting) -> Lasting:
        """What the cursor must say once `inquiry` is over: one pass cannot ask for all that an operator agreed to."""
        accepted = self.lasting(walk).accepted
        return lasting if accepted is None or not inquiry.left else lasting.still(min(accepted, inquiry.left))

    def sighted(self, state: Pass, value: Mapping[str, Json]) -> Mapping[str, Json]:
        """The walk's cursor, which says `value`, without those that this pass has shown by now.

        It is stored with the page that shows them: were the pass cut off, the next life would take them for unseen.
        """
        if (absence := self._absences.get(state.walk.name)) is not None:
            absence.seen(state.ids)
        lasting = Bookmark.read(value).lasting
        unseen = () if state.coverage.disorder else [id_ for id_ in lasting.absent if id_ not in state.ids]
        if len(unseen) == len(lasting.absent):
            return value
        return lasting.missing(unseen, lasting.absent_by).onto(value)

    async def publish(self, state: Pass, gone: Sequence[str], lasting: Lasting, since: int) -> None:
        """Publish them as deleted, with what the walk's cursor must say from then on. Raises Away."""
        walk = state.walk
        before = self._sequencer.cursor(walk.name).value
        # Of what waits for an operator nothing is known until one life has looked twice.
        waits = lasting.held or lasting.accepted is not None
        absent = () if waits else self._absence(walk).once.difference(gone)
        after = lasting.missing(absent, way(walk)).onto(before)
        await self._sequencer.page(
            [Record(walk.entity, id_, None, gone=True) for id_ in gone],
            [],
            walk=walk.name,
            cursor=after,
            part_cursor=before,
            cursor_alone=after != before,
            first_read=False,
            since=since,
        )

    def held_back(self, walks: Sequence[Walk]) -> list[HeldBack]:
        """What waits for an operator, as the cursors of these walks say."""
        found = [(walk, self.lasting(walk)) for walk in walks if walk.reports_absence]
        return [
            HeldBack(walk.name, walk.entity, lasting.held)
            for walk, lasting in found
            if lasting.held and lasting.accepted is None
        ]

    def lasting(self, walk: Walk) -> Lasting:
        """What the walk's cursor says of it."""
        return Bookmark.read(self._sequencer.cursor(walk.name).value).lasting

    def _absence(self, walk: Walk) -> Absence:
        if walk.name not in self._absences:
            settings, lasting = self._adapter.settings, self.lasting(walk)
            self._absences[walk.name] = Absence(
                brake_share=settings.delete_brake_share,
                brake_count=settings.delete_brake_count,
                once=lasting.absent if lasting.absent_by == way(walk) else (),
            )
        return self._absences[walk.name]

    async def _missing(self, state: Pass) -> tuple[set[str], set[str]]:
        """Who is proven absent by this pass, and whom it did not show though that proves nothing."""
        walk, ask = state.walk, state.ask()
        elsewhere = self._elsewhere.setdefault(walk.name, set())
        # An update can move a record into a window in which it was not before.
        elsewhere -= state.ids
        absent, unproven = set[str](), set[str]()
        for id_ in sorted(await self._sequencer.certain_ids(walk.entity) - state.ids - elsewhere):
            if not state.proves(id_):
                unproven.add(id_)
                continue
            after = await self._sequencer.last_known(walk.entity, id_)
            # A window only moves forward, so what lies outside of it now never comes back into it.
            if after is not None and self._adapter.belongs(ask, after):
                absent.add(id_)
            else:
                elsewhere.add(id_)
        return absent, unproven

    def _hold(self, walk: Walk, lasting: Lasting, held: int) -> Lasting:
        slack = self._adapter.settings.delete_brake_count
        if lasting.accepted is None and lasting.held and abs(held - lasting.held) <= slack:
            # A few more or less are the same trouble, and what is accepted has room for them.
            return lasting
        log.warning(
            "deletes.held", walk=walk.name, held=held, source=self._sequencer.source,
            advice=f"so many at once look like a fault; if they are really gone: {command(self._sequencer.source)}",
        )  # fmt: skip
        return replace(lasting, held=held, accepted=None)


def command(source: str) -> str:
    """What an operator says who agrees."""
    return f"bridged resync {source} --accept-deletes"


def reason(held: Sequence[HeldBack], source: str) -> str:
    """Why nothing is told deleted, and what to do, in one sentence per walk."""
    said = [f"walk {one.walk}: {one.count} of entity {one.entity} are gone at once" for one in held]
    return (
        f"{'; '.join(said)}: so many look like a fault at the vendor, so their deletion is held back; once the vendor "
        f"shows them again this ends by itself, and if they are really gone: {command(source)}"
    )
