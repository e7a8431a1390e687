"""Removes streams so that they are gone for good: what a later test makes by the same name is empty."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bridge.edge.nats.jetstream import STREAM_NOT_FOUND, ApiError, JetStream
from tests.support.waiting import wait_until


async def remove_streams(js: JetStream, streams: Iterable[str], folder: Path) -> None:
    """Remove these streams, if they are there, and wait until none of their files is left below this folder.

    A server moves the files of a deleted stream aside and removes them later. A second stream of that name that is
    deleted before then cannot be moved: its files stay, and a third one finds them, or cannot be made (10049).
    """
    names = set(streams)

    def cleared(names: set[str]) -> bool:
        stores = [*folder.glob("store/jetstream/*/streams"), *folder.glob("*/store/jetstream/*/streams")]
        return all(names.isdisjoint(os.listdir(store)) for store in stores)

    aside = {f".{name}" for name in names}
    await wait_until(lambda: cleared(aside), what="the files of streams removed before to be gone")
    for name in names:
        try:
            await js.call(f"STREAM.DELETE.{name}")
        except ApiError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
    await wait_until(lambda: cleared(names | aside), what="the files of removed streams to be gone")
