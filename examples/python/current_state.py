"""Holds the current state of all sessions, and is told of each change: a watch on the KV view."""

import asyncio
import json
import os
import pathlib

import nats  # pip install nats-py; nothing of bridged is needed

LOGIN = pathlib.Path(os.environ.get("BRIDGED_NATS", "~/.local/state/bridged/nats.json")).expanduser()
HERE = json.loads(LOGIN.read_text())  # of the embedded server; with a NATS of your own connect as you do elsewhere


async def main() -> None:
    nc = await nats.connect(HERE["url"], user=HERE["user"], password=HERE["password"])
    bucket = await nc.jetstream().key_value("bridge-state")
    watcher = await bucket.watch("pcvisit.*.session.*")
    sessions: dict[str, dict[str, object]] = {}
    async for entry in watcher:
        if entry is None:
            print(f"all {len(sessions)} there are; from now on what changes", flush=True)
        elif entry.operation:  # DEL: it was deleted
            sessions.pop(entry.key, None)
            print("deleted", entry.key, flush=True)
        else:
            body = json.loads(entry.value)
            sessions[entry.key] = body.get("data", body)["after"]  # "data": with content_mode = "structured"
            print("is now", entry.key, json.dumps(sessions[entry.key]), flush=True)


asyncio.run(main())
