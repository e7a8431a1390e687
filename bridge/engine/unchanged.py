"""Passes over rows that are as they were: a walk over a hundred thousand of them finds, as a rule, next to nothing new.

Beside what is known of an entity, its head, lies a mark: eight bytes that its row came to when it was last stored, or
found to be no news. A row that comes to the same mark again is neither mapped nor judged; its id alone is handed on.

That is right only where going through it could have no effect at all. Whether a row is news depends on the row, on what
`record` makes of it, and on the head. So:

- A head that is replaced, for whatever reason, loses its mark: another walk, a probe or an answer by id stored
  something; it was deleted (and may return); somebody else wrote, or the stream forgot, as a look found.
- A head whose last write may or may not have been stored counts as unknown, whatever its mark.
- What could not be read, was set aside, occurs once, is gone or is of another kind than its walk is never marked.
- Marks live in memory and end with it. What changes how a row is mapped (code, settings, paths left out, fields kept
  raw) needs a restart; the secret that marks are made with is one walker's, so none outlives a doubt about the stream.
- A mark covers the row, its types included, and what `record` goes by besides (`Adapter.basis`): the collection, and
  the part in which the vendor listed it. An adapter that does not say what it goes by takes no part.
- The id is where a mark is looked for, and need not be trusted. A mark lies at the id that `record` gave such a row, so
  whoever looks in the wrong place finds another, and the row is mapped.
- Two rows of one id on one page are told in their order: a page that has such, and not equal ones, is read as if there
  were no marks. On two pages the later finds the mark that the earlier left, or none.
- A pass knows by the ids handed on who is there; so deletes, held back or confirmed, ranges and totals are as before.
- Where something is pushed, a page's word counts too for what it passes over (`Belief.passing`): a push that is older
  than the page is overtaken by it, and what is being written while the page is read is judged. Which of two states is
  the newer one need not be asked where there is but one.
- An id under which the vendor knows what the stream knows by another is never known itself. While there are such, rows
  of that kind are all read. What was not asked for by its id is nobody's state, however familiar.
  Reading again what an operator asks for compares, too, and republishes nothing.
- What is judged by more than that takes no part: what occurs once, telemetry, and what belongs to another thing.

One thing would differ: a row whose id has since become a secret of ours would be set aside. It was published before.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from bridge.adapter import Adapter, Ask, Page
from bridge.core.canonical import Exact, exact
from bridge.core.heads import MARK_BYTES
from bridge.core.record import Json, Record
from bridge.engine.aliases import Aliases
from bridge.engine.sequencer import Sequencer

Passes = Callable[[str, bytes], bool]
"""Whether the row of this id that comes to this mark is as it was when it was no news."""


class Unchanged:
    """Of one source, from one opening of its book to the next."""

    def __init__(self, adapter: Adapter[Any], sequencer: Sequencer, aliases: Aliases, spelled: Exact = exact) -> None:
        self._adapter = adapter
        self._sequencer = sequencer
        self._aliases = aliases
        self._spelled = spelled
        # Whoever can write rows at the vendor cannot choose two that come to one mark.
        self._secret = secrets.token_bytes(16)
        self._places: dict[tuple[str, str], str] = {}

    def marks(self, ask: Ask, page: Page, *, since: int = 0, asked_at: float = math.inf) -> Marks | None:
        """Those for one page; None where every row is to be read. `since`, `asked_at`: see `Sequencer.page`."""
        walk = ask.walk
        if walk.once or walk.telemetry or walk.of or page.aliases or self._aliases.any_of(walk.entity):
            return None
        basis = self._adapter.basis(ask) if walk.batch or not ask.ids else None
        if basis is None:
            return None
        about = exact([walk.entity, basis, page.part])
        base = hashlib.blake2b(about, digest_size=MARK_BYTES, key=self._secret)
        passes = self._sequencer.passing(walk.entity, since=since, asked_at=asked_at, lag_s=walk.lag_s)
        if walk.batch:
            passes = _only(frozenset(ask.ids), passes)
        return Marks(walk.entity, base, self._spelled, passes, self._places, (walk.entity, walk.scope))


def _only(asked: frozenset[str], passes: Passes) -> Passes:
    return lambda id_, mark: id_ in asked and passes(id_, mark)


class Marks:
    """Of the rows of one page. `learned`: the marks of records that are still to be stored, by entity and id."""

    def __init__(
        self, entity: str, base: hashlib.blake2b, spelled: Exact, passes: Passes,
        places: dict[tuple[str, str], str], collection: tuple[str, str],
    ) -> None:  # fmt: skip
        """`base`: a hash that every row's begins with. `places`: in which field rows of a collection have their id."""
        self.learned: dict[tuple[str, str], bytes] = {}
        self._passes = passes
        self._spelled = spelled
        self._entity = entity
        self._copy = base.copy
        self._places = places
        self._collection = collection
        self._place = places.get(collection, "")
        self._read: set[str] = set()
        self._mark: bytes | None = None

    def known(self, row: Json) -> str | None:
        """The id of a row that is as it was when it was no news; None if it is not, or nobody knows."""
        self._mark = None
        if type(row) is not dict:
            return None
        marked = self._copy()
        try:
            marked.update(self._spelled(row))
        except ValueError:
            return None
        self._mark = mark = marked.digest()
        id_ = str(row.get(self._place))
        return id_ if self._passes(id_, mark) else None

    def learn(self, row: Json, record: Record) -> None:
        """The row just asked for was mapped to this record: once that is no news, a row like it is none."""
        mark = self._mark
        if record.id in self._read:
            # One is stored after the other, and only the last remains.
            self.learned.pop((record.entity, record.id), None)
            return
        self._read.add(record.id)
        if mark is None or record.entity != self._entity or record.gone or record.occurred or record.telemetry:
            return
        self.learned[record.entity, record.id] = mark
        if str(row.get(self._place)) != record.id:
            # By chance another field may show the same: the next row that it does not fit corrects that.
            fitting = (name for name, value in row.items() if type(value) in (str, int) and str(value) == record.id)
            self._place = self._places[self._collection] = next(fitting, self._place)

    def apart(self, passed: Sequence[str]) -> bool:
        """Whether no row that was mapped is of an entity of which another was passed over: those go by their order."""
        return self._read.isdisjoint(passed)
