"""A sender of webhooks as a program: `python -m tests.support.hammering URL COUNT`. Each attempt by a new connection.
With `--one=AMOUNT` in place of the count: one payment of that amount.

Prints how many are confirmed whenever that is a hundred more, and at the end how often which answer came, as JSON.
"""

from __future__ import annotations

import json
import sys

import anyio

from tests.support.live_webhooks import Delivery, Sender, payments


async def _main(url: str, what: str) -> None:
    sender = Sender(url, at_once=8, again=0, fresh=True)
    if what.startswith("--one="):
        body = json.dumps({"type": "payment", "amount": int(what.removeprefix("--one="))})
        await sender.send([Delivery("one", body.encode())])
        return
    for at in range(0, int(what), 100):
        await sender.send(payments(100, f"msg{at}"))
        print(len(sender.confirmed), flush=True)
    print(json.dumps(sender.answers), flush=True)


if __name__ == "__main__":
    anyio.run(_main, sys.argv[1], sys.argv[2])
