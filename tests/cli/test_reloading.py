"""A reload and a stop at once: what has begun to end takes over nothing, and opens no door again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from bridge.cli.daemon import Daemon, Phase
from bridge.cli.reloading import Reloading
from bridge.core.reload import Change
from bridge.edge.config.loader import Config, ConfigErrors
from bridge.engine.readiness import Readiness

pytestmark = pytest.mark.anyio


class Applied(Reloading):
    """Notes what it would take over."""

    taken: list[Config]

    async def apply(self, config: Config) -> Change:
        self.taken.append(config)
        return Change()


async def test_a_stop_while_the_file_is_read_wins() -> None:
    """Whoever asked is told, the manager hears that it has ended, and nothing is taken over."""
    started = anyio.Event()
    started.set()
    told: list[Phase] = []
    readiness = Readiness([])

    def load() -> Config:
        readiness.stopping = True
        return cast("Config", SimpleNamespace(warnings=()))

    daemon = SimpleNamespace(started=started, readiness=readiness, on_reload=[told.append])
    reloading = Applied(cast("Daemon", cast("Any", daemon)), load)
    reloading.taken = []
    result = await reloading.reload()
    assert (result.ok, result.text) == (False, "this instance is stopping: nothing is reloaded now")
    assert reloading.taken == []
    assert told == ["begin", ("end", result)]


async def test_a_refusal_is_remembered_until_a_reload_succeeds() -> None:
    """For the metric: what runs is not what the files say, and a restart would not come up with them."""
    started = anyio.Event()
    started.set()
    good = False

    def load() -> Config:
        if not good:
            raise ConfigErrors([])
        return cast("Config", SimpleNamespace(warnings=()))

    daemon = SimpleNamespace(started=started, readiness=Readiness([]), on_reload=[])
    reloading = Applied(cast("Daemon", cast("Any", daemon)), load)
    reloading.taken = []
    assert reloading.refused is False
    assert (await reloading.reload()).ok is False
    assert reloading.refused is True
    good = True
    assert (await reloading.reload()).ok is True
    assert reloading.refused is False
