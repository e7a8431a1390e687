"""Asks a vendor for its GraphQL schema, with the source's own token and within its quota."""

from __future__ import annotations

from typing import Any

from bridge.adapter import Adapter, Response, graphql
from bridge.core.errors import BridgeError, Refused, Retry, Throttled, Unauthorized
from bridge.edge.graphql_document import INTROSPECTION, VendorSchema
from bridge.engine.reader import PATIENCE, Reader


class Closed(BridgeError):
    """The vendor answers, and does not let its schema be introspected."""


async def vendor_schema(adapter: Adapter[Any], reader: Reader) -> VendorSchema:
    """The vendor's schema. One request, more only where the vendor refuses for quota or for the token.

    Raises Closed; Refused for bad credentials and for a vendor that speaks no GraphQL; Retry, Malformed.
    """
    refused = False
    for _ in range(PATIENCE):
        token = await reader.keeper.token()
        request = adapter.query(INTROSPECTION, {}, token)
        try:
            schema = _schema(await reader.send(request))
        except Unauthorized as error:
            if refused:
                raise Closed(f"the token may not introspect the vendor's schema: {error}") from error
            refused = True
            await reader.keeper.renew(token)
        except Throttled as error:
            reader.quota.throttled(error)
        else:
            reader.quota.passed()
            return schema
    raise Retry(f"introspection: the vendor refused {PATIENCE} times in a row for quota")


def _schema(response: Response) -> VendorSchema:
    answer = response.json if isinstance(response.json, dict) else {}
    try:
        found = graphql.read(response, "__schema")
    except (Unauthorized, Throttled):
        raise
    except (Retry, Refused) as error:
        # Servers that are closed say so in many ways, but always as a GraphQL answer without the schema.
        if response.status in (200, 400) and ("errors" in answer or "data" in answer):
            raise Closed(f"the vendor's schema is closed to introspection: {error}") from error
        raise
    return VendorSchema({"__schema": found})
