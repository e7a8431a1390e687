"""What the stream tells of the channels of alerts: how much waits for each, and since when. For `bridged status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.edge.ledger.consumers import CONSUMER_NOT_FOUND, alert_subjects, consumer_name
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.answers import NoAnswer
from bridge.edge.nats.jetstream import ApiError, JetStream
from bridge.edge.operator.tail import explained


@dataclass(frozen=True, slots=True)
class Backlog:
    """One channel of one alert. `made`: it has a place in the stream. `waiting`: alerts it has not taken yet.

    `failing`: it has been tried with the first of them more than once. `since`: when that one was decided, RFC 3339;
    None where nothing waits. `tried`: when it was handed out last.
    """

    alert: str
    channel: str
    made: bool = False
    waiting: int = 0
    failing: bool = False
    since: str | None = None
    tried: str | None = None


async def backlogs(js: JetStream, names: LedgerNames, channels: Sequence[tuple[str, str]]) -> list[Backlog]:
    """Of these (alert, channel), in this order. Raises what `explained` makes of a refusal, and NoAnswer."""
    return [await _backlog(js, names, alert, channel) for alert, channel in channels]


async def _backlog(js: JetStream, names: LedgerNames, alert: str, channel: str) -> Backlog:
    stream = names.stream
    try:
        found = await js.call(f"CONSUMER.INFO.{stream}.{consumer_name(alert, channel)}")
        waiting = found["num_pending"] + found["num_ack_pending"]
        if not waiting:
            return Backlog(alert, channel, made=True)
        # It is the first behind what was acknowledged.
        query = {"next_by_subj": alert_subjects(alert), "seq": found["ack_floor"]["stream_seq"] + 1}
        first = await js.get(stream, query)
    except ApiError as error:
        if error.err_code == CONSUMER_NOT_FOUND:
            return Backlog(alert, channel)
        raise explained(error, stream) from None
    except KeyError:
        raise NoAnswer(f"stream {stream}: what a consumer says of itself cannot be read") from None
    return Backlog(
        alert,
        channel,
        made=True,
        waiting=waiting,
        failing=found.get("num_redelivered", 0) > 0,
        since=first.time if first is not None else None,
        tried=found["delivered"].get("last_active"),
    )
