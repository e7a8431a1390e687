"""Where sources get their leases from, and how this instance shares them with others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.core.lease import Tenant
from bridge.edge import process
from bridge.edge.config.loader import Config
from bridge.edge.ledger.leases import JetStreamLeases
from bridge.engine.tenancy import LeaseOffice

if TYPE_CHECKING:
    from bridge.engine.sharing import Sharing


def make_leasing(
    config: Config, leases: JetStreamLeases, me: Tenant, roll: Callable[[], float]
) -> tuple[LeaseOffice, Sharing | None]:
    """None: whoever has a source keeps it, as the configuration says; or as nobody else can be there."""
    settings = config.daemon
    sharing: Sharing | None = None
    if settings.share and not config.nats.embedded:
        # Only who may have company waits for it.
        from bridge.engine.sharing import Sharing

        sharing = Sharing(
            leases,
            me,
            lease_s=settings.lease_s,
            wall=process.wall,
            roll=roll,
            alive=process.alive,
            clock=process.monotonic,
        )
    office = LeaseOffice(
        leases,
        me,
        lease_s=settings.lease_s,
        wall=process.wall,
        roll=roll,
        alive=process.alive,
        clock=process.monotonic,
        sharing=sharing,
    )
    return office, sharing
