"""A played vendor that these tests share: nothing changes there, and each test finds it without faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.program import PlayedVendor


@pytest.fixture(scope="session")
def quiet_vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedVendor]:
    """`bridged sandbox pcvisit`, which changes nothing by itself. Its counters go on from test to test."""
    played = PlayedVendor(tmp_path_factory.mktemp("vendor"), rate=0, seed=1)
    try:
        played.begin_blocking()
        yield played
    finally:
        played.close()


@pytest.fixture
async def vendor(quiet_vendor: PlayedVendor) -> PlayedVendor:
    """The same, without what another test has planned."""
    await quiet_vendor.calm()
    return quiet_vendor
