"""What an instance answers over NATS: reloads that nobody can break off, and answers that fit."""

from __future__ import annotations

import json

import anyio
import pytest

from bridge.cli.endpoints import Reloads, TooLarge, told
from bridge.core.reload import ReloadResult
from tests.support.engine import on_virtual_clock


def test_who_asks_for_a_reload_may_lose_patience() -> None:
    """The reload goes on to its end. Those who ask meanwhile get one more, together."""
    finished: list[float] = []

    async def reload() -> ReloadResult:
        await anyio.sleep(10)
        finished.append(anyio.current_time() - began)
        return ReloadResult(ok=True, text=f"number {len(finished)}")

    began = 0.0

    async def script() -> None:
        nonlocal began
        began = anyio.current_time()
        reloads = Reloads(reload)
        texts: list[str] = []

        async def ask() -> None:
            texts.append((await reloads.ask()).text)

        async with anyio.create_task_group() as group:
            group.start_soon(reloads.run)
            with anyio.move_on_after(1) as patience:
                await reloads.ask()
            assert patience.cancelled_caught
            async with anyio.create_task_group() as asking:
                for _ in range(5):
                    asking.start_soon(ask)
            group.cancel_scope.cancel()
        assert texts == ["number 2"] * 5

    on_virtual_clock(script)
    assert [round(moment) for moment in finished] == [10, 20]


def test_the_answer_to_a_reload_fits() -> None:
    """Whole where it does; else long lists are cut and say how much is missing; the keys stay."""
    result = ReloadResult(ok=True, text="much", details={
        "unchanged": [f"source-{number}" for number in range(1000)],
        "changed": {f"source-{number}": ["token"] for number in range(1000)},
        "alerts": False,
    })  # fmt: skip
    few = json.loads(told(result, 100_000))
    assert (few["ok"], few["text"], few["details"]["alerts"]) == (True, "much", False)
    assert few["details"]["unchanged"][198:] == ["source-198", "source-199", "… and 800 more"]
    assert [*few["details"]["changed"]][199:] == ["source-199", "… and 800 more"]
    fewer = json.loads(told(result, 1000))
    assert fewer["details"]["unchanged"][9:] == ["source-9", "… and 990 more"]
    assert json.loads(told(result, 180))["details"]["unchanged"] == ["… and 1,000 more"]
    with pytest.raises(TooLarge):
        told(result, 50)
    assert json.loads(told(ReloadResult(ok=False, text="no"), 100)) == {"ok": False, "text": "no", "details": {}}
