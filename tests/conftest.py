"""What every test may use, and the order in which tests run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.thorough import load_profile

# A shell that starts something in the background has it ignore Ctrl-C, and so would every program started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

load_profile()

HERE = Path(__file__).parent
PROCESSES = [HERE / name for name in ("program", "cli", "interop", "page", "examples")]
"""Tests that start the program, browsers and servers of others. Too many side by side starve each other."""
LONG = HERE / "program"
"""The whole program under blows: most of a run's time, and little of that is computing."""
LONGEST = "test_secrets.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--part`: `make tests` runs both, one after the other; without it everything runs."""
    parser.addoption("--part", choices=["light", "processes"], help="only tests that start no program, or only others")


def _elsewhere(path: Path, part: str) -> bool:
    """Whether what lies there is of the other part."""
    return any(one == path or one in path.parents for one in PROCESSES) is (part == "light")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What the other part runs is not even read: each worker would spend seconds on it."""
    part = config.getoption("part")
    return True if part and HERE in collection_path.parents and _elsewhere(collection_path, part) else None


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
    if (part := config.getoption("part")) is not None:
        # What is named on the command line is read all the same.
        other = {item for item in items if _elsewhere(item.path, part)}
        if other:
            config.hook.pytest_deselected(items=list(other))
            items[:] = [item for item in items if item not in other]
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
