"""What every test may use, and the order in which tests run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

# A shell that starts something in the background has it ignore Ctrl-C, and so would every program started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONG = Path(__file__).parent / "program"
"""The whole program under blows: most of a run's time, and little of that is computing."""
LONGEST = "test_secrets.py"


@pytest.fixture
def anyio_backend() -> str:
    """asyncio by default: the edges live on it. Engine tests override it with trio and a virtual clock."""
    return "asyncio"


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """What a command that was run in this process has made of the log is no other test's business."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones first, dealt to all workers, so that none has a long one left when the others are done.

    `--dist worksteal` cuts the list into as many equal parts as there are workers, and each runs its part from the
    beginning; who is done early takes from the end of another's.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    # Sorting is stable: tests that share a server stay together.
    long = sorted((item for item in items if LONG in item.path.parents), key=lambda item: item.path.name != LONGEST)
    short = [item for item in items if LONG not in item.path.parents]
    dealt: list[pytest.Item] = []
    for number in range(workers):
        mine = long[number::workers]
        size = (len(items) - len(dealt)) // (workers - number)
        room = max(0, size - len(mine))
        dealt += [*mine, *short[:room]]
        del short[:room]
    items[:] = [*dealt, *short]
