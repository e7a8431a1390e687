"""HTTP answers as data, for tests of whoever reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bridge.core.errors import Malformed
from bridge.core.facts import Response
from bridge.core.record import Json
from bridge.edge.codec import decode


def answer(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer whose body is this JSON."""
    return Response(status, headers or {}, json.dumps(body).encode("utf-8", "surrogatepass"), body)


def raw_answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with these bytes, decoded as the HTTP edge decodes them."""
    try:
        return Response(status, headers or {}, body, decode(body))
    except Malformed as error:
        return Response(status, headers or {}, body, None, str(error))
