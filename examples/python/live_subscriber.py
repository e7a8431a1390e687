"""Hears of events the moment they are stored, and of nothing that happens while it is away: a plain subscriber."""

import asyncio
import json
import os
import pathlib

import nats  # pip install nats-py

from bridge.events import event_of

LOGIN = pathlib.Path(os.environ.get("BRIDGED_NATS", "~/.local/state/bridged/nats.json")).expanduser()
HERE = json.loads(LOGIN.read_text())  # of the embedded server; with a NATS of your own connect as you do elsewhere


async def main() -> None:
    nc = await nats.connect(HERE["url"], user=HERE["user"], password=HERE["password"])
    subscription = await nc.subscribe("live.>")  # or live.pcvisit.>, live.*.*.*.deleted.>; telemetry is below live, too
    async for message in subscription.messages:
        event = event_of(message)
        print(event.vendor, event.source, event.entity, event.change, event.id, flush=True)


asyncio.run(main())
