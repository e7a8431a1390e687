"""One error out of several tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from bridge.core.errors import Away, BridgeError, Malformed, Refused, Retry, Unauthorized, Unfit
from bridge.engine.groups import task_group
from tests.support.engine import on_virtual_clock


async def fail(error: BaseException) -> None:
    raise error


def outcome(*errors: BaseException, body: Callable[[], Awaitable[None]] | None = None) -> BaseException | None:
    """What a group raises whose tasks all fail at once."""

    async def main() -> None:
        async with task_group() as group:
            for error in errors:
                group.start_soon(fail, error)
            if body is not None:
                await body()

    try:
        on_virtual_clock(main)
    except BaseException as error:  # noqa: BLE001 - whatever it is, is looked at
        return error
    return None


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ([Retry("r")], Retry),
        ([Unauthorized("u")], Unauthorized),
        ([Retry("r"), Refused("x")], Refused),
        ([Refused("x"), Away("a"), Retry("r")], Away),
        ([Away("a"), Unfit("u")], Unfit),
        ([BaseExceptionGroup("deep", [Retry("r"), BaseExceptionGroup("deeper", [Away("a")])])], Away),
    ],
)
def test_known_conditions_become_the_weightiest(errors: list[BaseException], raised: type[BridgeError]) -> None:
    """What changes most of what happens next is raised, alone and as it was."""
    error = outcome(*errors)
    assert type(error) is raised


def test_an_error_in_the_body_is_unwrapped_too() -> None:
    """The body is one of the tasks."""

    async def body() -> None:
        raise Malformed("m")

    assert isinstance(outcome(body=body), Malformed)


def test_a_bug_is_raised_whole() -> None:
    """Nothing that befell beside a bug is lost from its report."""
    error = outcome(Retry("r"), ZeroDivisionError())
    assert isinstance(error, ExceptionGroup)
    assert {type(each) for each in error.exceptions} == {Retry, ZeroDivisionError}


def test_success_raises_nothing() -> None:
    """A group that ends well."""
    assert outcome() is None


def test_cancellation_passes() -> None:
    """A cancelled group is cancelled, and nothing else."""

    async def main() -> None:
        with anyio.move_on_after(1) as scope:
            async with task_group() as group:
                group.start_soon(anyio.sleep_forever)
        assert scope.cancelled_caught

    on_virtual_clock(main)


def test_an_error_on_the_way_out_does_not_hide_a_cancellation() -> None:
    """A task that fails while it is cancelled changes nothing: who cancelled us gets what it asked for."""

    async def stubborn() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise Retry("the connection broke while it was closed")

    async def main() -> None:
        with anyio.move_on_after(1) as scope:
            async with task_group() as group:
                group.start_soon(stubborn)
                group.start_soon(anyio.sleep_forever)
        assert scope.cancelled_caught

    on_virtual_clock(main)
