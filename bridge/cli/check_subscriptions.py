"""Tries a source's subscriptions against the vendor's schema, without subscribing to anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.adapter import Adapter, GraphqlSettings, Json, Subscription
from bridge.cli.check import UNKNOWN
from bridge.cli.exits import Exit
from bridge.cli.findings import Finding, failed, passed
from bridge.cli.introspection import Closed, vendor_schema
from bridge.cli.status import NEVER_TOLD
from bridge.core.subscription import first_seen
from bridge.edge.graphql_document import VendorSchema
from bridge.engine.reader import Reader


def verified(name: str, observed: Mapping[str, Json] | None) -> str:
    """Whether a subscription was ever observed at the vendor, in words. `observed`: see `Overview.subscriptions`."""
    if observed is None:
        return UNKNOWN
    first = first_seen(observed.get(name))
    return f"first event {first}" if first else NEVER_TOLD


async def try_subscriptions(
    adapter: Adapter[Any], reader: Reader, observed: Mapping[str, Json] | None
) -> list[Finding]:
    """One finding for each subscription; none where there is no subscription. Raises what `vendor_schema` does."""
    settings = adapter.settings
    if not isinstance(settings, GraphqlSettings) or not settings.subscription:
        return []
    try:
        schema = await vendor_schema(adapter, reader)
    except Closed as error:
        text = f"only its form was checked: {error}"
        return [
            passed(_what(settings, one), f"{text}; {verified(one.name, observed)}") for one in settings.subscription
        ]
    return [_judged(schema, settings, one, observed) for one in settings.subscription]


def _judged(
    schema: VendorSchema, settings: GraphqlSettings, one: Subscription, observed: Mapping[str, Json] | None
) -> Finding:
    found = schema.problems(one)
    if found:
        lines = "".join(f"\n{problem}" for problem in found)
        return failed(_what(settings, one), f"it does not fit the vendor's schema:{lines}", Exit.CONFIG)
    return passed(_what(settings, one), f"fits the vendor's schema; {verified(one.name, observed)}")


def _what(settings: GraphqlSettings, one: Subscription) -> str:
    return f"{settings.name}: subscription {one.name}"
