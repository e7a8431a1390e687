"""Webhooks that are signed by a key pair: the source holds the public key only."""

from __future__ import annotations

import base64
import json

from bridge.adapter import Secret
from bridge.core.hooks import standard
from bridge.core.hooks.keys import Key
from bridge.edge import ed25519
from tests.support.engine import on_virtual_clock
from tests.support.hook_rig import Instance, post, settings
from tests.support.memory_ledger import MemoryLedger
from tests.support.sim_vendor import wall

SEED = bytes(range(32))


def test_a_signature_of_the_private_key_is_accepted_and_no_other() -> None:
    """By `public_keys`, which is no secret; beside a shared key that the sender used before."""

    async def main() -> None:
        public = "whpk_" + base64.b64encode(ed25519.public(SEED)).decode()
        shop = Instance(MemoryLedger(), settings(public_keys=[public]), ed25519=lambda: ed25519.verify)
        body = json.dumps({"type": "ping"}).encode()

        def signed(seed: bytes) -> dict[str, str]:
            key = Key.parse(Secret("whsk_" + base64.b64encode(seed).decode()))
            return standard.sign([key], "msg_1", wall(), body, ed25519.sign)

        async with shop.running():
            assert (await shop(post(body, **signed(SEED)))).status == 202
            assert (await shop(post(body, **signed(SEED[::-1])))).status == 401
            assert (await shop(post(body + b" ", **signed(SEED)))).status == 401

    on_virtual_clock(main)
