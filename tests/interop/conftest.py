"""Who the peers are; where they cannot be had, a skip that says why, or an error where they must be."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bridge.core.facts import Subprotocol
from tests.interop.packages import FOLDER, gems_missing, packages_missing
from tests.interop.peers import Server, running, server
from tests.interop.socketio_peers import PAIRS, SocketioServer, pair_name
from tests.support.dialects import ALL, CABLE
from tests.support.example import NODE as EXAMPLES
from tests.support.waiting import wait_until_blocking

REQUIRED = os.environ.get("BRIDGED_INTEROP") == "required"
"""Set by `make interop`."""

SHORT = ("test_servers.py", "test_socketio.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make test` holds our client against npm's servers; what takes long, or needs more, is for `make interop`."""
    if REQUIRED:
        return
    long = [item for item in items if "tests/interop/" in item.nodeid and not _is_short(item)]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


BOTH = ((3, "b"), (4, "b"))
"""A server that lets in either revision. In `make test` each revision meets the server of its own generation."""


def _is_short(item: pytest.Item) -> bool:
    if item.path.name not in SHORT or CABLE in item.nodeid or item.name == "test_a_rejected_channel":
        return False
    # A parametrised test has one.
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return not any(value in BOTH for value in given.values())


def _demand(reason: str) -> None:
    if reason and REQUIRED:
        pytest.fail(f"interop: {reason}", pytrace=False)
    if reason:
        pytest.skip(f"interop: {reason}")


@pytest.fixture(scope="session")
def _packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.getbasetemp()
    return packages_missing(run.parent if "PYTEST_XDIST_WORKER" in os.environ else run)


@pytest.fixture(scope="session")
def parser(tmp_path_factory: pytest.TempPathFactory) -> None:
    """AsyncAPI's own parser is there."""
    _demand(packages_missing(tmp_path_factory.getbasetemp(), FOLDER / "asyncapi", within_s=300))


@pytest.fixture(scope="session")
def example_packages(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The packages that the examples import are there."""
    _demand(packages_missing(tmp_path_factory.getbasetemp(), EXAMPLES))


@pytest.fixture(scope="session")
def _gems() -> str:
    return gems_missing()


@pytest.fixture(scope="session")
def packages(_packages: str) -> None:
    """The npm packages are there."""
    _demand(_packages)


@pytest.fixture(scope="session")
def gems(_gems: str) -> None:
    """Rails' own server is there."""
    _demand(_gems)


@pytest.fixture(scope="module", params=ALL)
def subprotocol(request: pytest.FixtureRequest) -> Subprotocol:
    """Each, where its peer can be had."""
    request.getfixturevalue("gems" if request.param == CABLE else "packages")
    chosen: Subprotocol = request.param
    return chosen


@pytest.fixture(scope="module")
def peer(subprotocol: Subprotocol) -> Iterator[Server]:
    """A server of the sub-protocol that several tests share: each has topics of its own."""
    with server(subprotocol) as running:
        yield running


@pytest.fixture(scope="module", params=PAIRS, ids=pair_name)
def _npm(request: pytest.FixtureRequest, packages: None) -> Iterator[SocketioServer]:
    with running(SocketioServer(request.param)) as started:
        yield started


@pytest.fixture
def npm(_npm: SocketioServer) -> SocketioServer:
    """A server of Socket.IO that several tests share: nobody is connected, and it remembers nothing."""
    wait_until_blocking(lambda: not any(_npm.facts()["present"].values()), what="those before to be gone")
    _npm.forget()
    return _npm
