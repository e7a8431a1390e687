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
  Reading again what an operator asks for compares, too, and republishes nothing.
- What is judged by more than that takes no part: sources with a live session (what was pushed, and when), walks that
  look up by id or whose queries lag, what occurs once, telemetry, and kinds whose ids may be aliases.

One thing would differ: a row whose id has since become a secret of ours would be set aside. It was published before.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from marshal import dumps
from typing import Any

from bridge.adapter import Adapter, Ask, Page
from bridge.core.heads import MARK_BYTES
from bridge.core.record import Json, Record
from bridge.engine.aliases import Aliases
from bridge.engine.sequencer import Sequencer

EXACT = 2
"""The format of `marshal` that spells equal values alike, wherever they lie in memory, and tells all types apart.

JSON would not do: infinity becomes null there, and half a surrogate pair cannot be said."""


class Unchanged:
    """Of one source, from one opening of its book to the next."""

    def __init__(self, adapter: Adapter[Any], sequencer: Sequencer, aliases: Aliases, *, pushed: bool) -> None:
        """`pushed`: whether records of the source come by a live session as well."""
        self._adapter = adapter
        self._sequencer = sequencer
        self._aliases = aliases
        self._pushed = pushed
        # Whoever can write rows at the vendor cannot choose two that come to one mark.
        self._secret = secrets.token_bytes(16)
        self._places: dict[tuple[str, str], str] = {}

    def marks(self, ask: Ask, page: Page) -> Marks | None:
        """Those for one page; None where every row is to be read."""
        walk = ask.walk
        plain = not (walk.once or walk.telemetry or walk.lag_s or walk.batch or walk.of or ask.ids or page.aliases)
        if not plain or self._pushed or not self._aliases.idle:
            return None
        basis = self._adapter.basis(ask)
        if basis is None:
            return None
        about = dumps([walk.entity, basis, page.part], EXACT)
        base = hashlib.blake2b(about, digest_size=MARK_BYTES, key=self._secret)
        return Marks(self._sequencer, walk.entity, base, self._places, (walk.entity, walk.scope))


class Marks:
    """Of the rows of one page. `learned`: the marks of records that are still to be stored, by entity and id."""

    def __init__(
        self, sequencer: Sequencer, entity: str, base: hashlib.blake2b, places: dict[tuple[str, str], str],
        collection: tuple[str, str],
    ) -> None:  # fmt: skip
        """`base`: a hash that every row's begins with. `places`: in which field rows of a collection have their id."""
        self.learned: dict[tuple[str, str], bytes] = {}
        self._bears = sequencer.bearing(entity)
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
            marked.update(dumps(row, EXACT))
        except ValueError:
            return None
        self._mark = mark = marked.digest()
        id_ = str(row.get(self._place))
        return id_ if self._bears(id_, mark) else None

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
