"""What somebody would write by hand: `python -m tests.bench.webhook_script NATS_URL PORT`, an aiohttp server that
verifies a signature, awaits `js.publish`, and says 202.

It does less than the bridge: no ids are compared, nothing is mapped, and what NATS does not take is the sender's loss.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time

import nats
import uvloop
from aiohttp import web

from tests.support.live_webhooks import KEY

STREAM = "HANDS"
SUBJECT = "hands.payment"
LIFE_S = 900
"""Whatever happens to who started it, it ends after so long."""
_KEY = base64.b64decode(KEY)


async def main(url: str, port: int) -> None:
    """Serve until killed; prints one line once it does."""
    client = await nats.connect(url)
    js = client.jetstream()
    await js.add_stream(name=STREAM, subjects=["hands.>"])

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        at = request.headers["webhook-timestamp"]
        content = f"{request.headers['webhook-id']}.{at}.".encode() + body
        wanted = base64.b64encode(hmac.digest(_KEY, content, hashlib.sha256)).decode()
        if abs(time.time() - int(at)) > 300 or not hmac.compare_digest(
            request.headers["webhook-signature"], f"v1,{wanted}"
        ):
            return web.Response(status=401)
        event = {"data": json.loads(body), "id": request.headers["webhook-id"]}
        await js.publish(f"{SUBJECT}.{event['id']}", json.dumps(event).encode())
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/hooks/shop", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.sleep(LIFE_S)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
