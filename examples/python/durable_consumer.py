"""Handles each event, and goes on where it was: a durable consumer."""

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
    js = nc.jetstream()
    consumer = await js.pull_subscribe("events.pcvisit.*.session.>", durable="billing", stream="BRIDGE")
    while True:
        try:
            (message,) = await consumer.fetch(1, timeout=60)
        except TimeoutError:
            continue  # nothing new for a minute
        event = event_of(message)
        print(event.change, event.id, json.dumps(event.after), flush=True)  # event.after: the whole session
        await message.ack()  # what is not acknowledged comes again, with the same event.ce_id


asyncio.run(main())
