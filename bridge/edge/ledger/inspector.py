"""Whether somebody has altered what the bridge has made or verified. Nothing on the server says so by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bridge.core.record import Json
from bridge.edge.ledger.shape import (
    Difference,
    LedgerNames,
    state_differences,
    stream_differences,
    telemetry_differences,
)
from bridge.edge.nats.jetstream import STREAM_NOT_FOUND, ApiError, JetStream

_Compare = Callable[[LedgerNames, Mapping[str, Json]], list[Difference]]


async def altered(
    js: JetStream, names: LedgerNames, found: Mapping[str, Json] | None = None, *, telemetry: bool = False
) -> str:
    """What was altered, field by field, as a sentence; "" if nothing was, or if it is not known now.

    `found`: the ledger's stream as it was just told; then nothing is asked. Otherwise the view is looked at as well,
    and the stream of telemetry if there is one. Raises Away.
    """
    if found is not None:
        return _sentence(names.stream, stream_differences(names, found))
    looks: list[tuple[str, _Compare]] = [(names.stream, stream_differences), (names.state_stream, state_differences)]
    if telemetry:
        looks.append((names.telemetry_stream, telemetry_differences))
    for stream, compare in looks:
        try:
            why = _sentence(stream, compare(names, (await js.stream(stream))["config"]))
        except ApiError as error:
            # A leader may be missing; that is over in a moment, or the sources notice it themselves.
            why = f"stream {stream} was removed" if error.err_code == STREAM_NOT_FOUND else ""
        if why:
            return why
    return ""


def _sentence(stream: str, differing: Sequence[Difference]) -> str:
    return f"stream {stream} was altered: " + "; ".join(map(str, differing)) if differing else ""
