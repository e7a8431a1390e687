"""What the demo has on its stage, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.cli.daemon import Daemon
from bridge.edge.operator.tail import Seen

if TYPE_CHECKING:
    from bridge.sandbox.oracle import Report
    from bridge.sandbox.pcvisit import PcvisitSandbox


@dataclass(slots=True)
class Stage:
    """What is on show: the sandbox, the daemon, and every event read back from the stream. `act`: what happens now."""

    sandbox: PcvisitSandbox
    daemon: Daemon
    events: list[Seen] = field(default_factory=list)
    act: str = "starting"

    def report(self) -> Report:
        """The sandbox's ledger against the stream. Everything that an answer carried must be there."""
        from bridge.sandbox import oracle, pcvisit_view

        seen = [
            oracle.Seen(event.data["id"], event.subject.split(".")[4], event.data["after"], event.stored_ms, ce_id)
            for event in self.events
            if event.subject.startswith("events.pcvisit.") and (ce_id := event.headers["ce-id"])
        ]
        issued = self.sandbox.ledger.changes
        return oracle.compare(issued, seen, view=pcvisit_view.as_issued, seen=pcvisit_view.as_seen, strict_served=True)
