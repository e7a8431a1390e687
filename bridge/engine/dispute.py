"""What a look tells about writes that the stream refused."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.errors import Away
from bridge.core.event import Event
from bridge.engine.known import Known, Once
from bridge.engine.scribe import Note

Refused = Sequence[tuple[Note, Event]]


def undisputed(refused: Refused, heads: Known) -> None:
    """Raises Away when the look shows an event that is not ours and says otherwise than a record without version.

    Which of the two is newer cannot be told: whoever wrote it may have read the vendor after us.
    """
    for note, event in refused:
        head = heads.get(event.key)
        if note.own or note.record.version is not None or event.change == "occurred" or head is None:
            continue
        if head.seq > event.expected and head.ce_id != event.ce_id and head.digest != event.digest:
            raise Away(
                f"{event.key.entity} {event.change}: somebody else wrote an event of the same entity meanwhile, "
                "and no version tells which is newer, so everything is read again"
            )


def explained(refused: Refused, heads: Known, once: Once) -> bool:
    """Whether the look shows why a batch was refused."""
    return any(
        event.key in once
        if event.change == "occurred"
        else (head := heads.get(event.key)) is not None and head.seq != event.expected
        for _, event in refused
    )
