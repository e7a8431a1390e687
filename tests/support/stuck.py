"""bridged with a fault, met by a delivery: its mapping never returns, or a write hangs despite its deadline.

Run in place of `python -m bridge.cli.main`. A payment of 13 never comes out of the mapping; one of 17 is never stored.
Stands alone, so that it can be copied to where only bridged is installed.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio

import bridge.engine.live
import bridge.engine.tenancy
from adapters.webhook import Adapter
from bridge.cli.main import main
from bridge.edge.ledger.book import JetStreamBook

NEVER, UNSTORED = 13, 17
LIMIT_S = 1.0
"""What writes may take here, in place of minutes."""

mapped = Adapter.live
appended = JetStreamBook.append


def live(self: Adapter, frame: Any) -> Any:
    """Never returns for one of them."""
    while f'"amount": {NEVER}' in str(frame).replace("'", '"'):
        pass
    return mapped(self, frame)


async def append(self: JetStreamBook, events: Any) -> Any:
    """Neither returns nor heeds any deadline for one of them."""
    if any(f'"amount":{UNSTORED}'.encode() in bytes(event.payload).replace(b" ", b"") for event in events):
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()
    return await appended(self, events)


if __name__ == "__main__":
    Adapter.live = live  # type: ignore[method-assign]
    JetStreamBook.append = append  # type: ignore[method-assign]
    bridge.engine.live.STORE_S = bridge.engine.tenancy.STORE_S = LIMIT_S  # type: ignore[attr-defined]
    sys.exit(main())
