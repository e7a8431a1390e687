"""Every adapter goes through the same named contract suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import adapters
from tests.adapters.cases import CASES
from tests.adapters.contract import CONTRACT, Case


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contract(case: Case, promise: Callable[[Case], None]) -> None:
    """Each promise of `contract.py` holds for each adapter of `cases.py`."""
    promise(case)


def test_no_adapter_is_left_out() -> None:
    """Every file in `adapters/` has a case."""
    shipped = {file.stem for folder in adapters.__path__ for file in Path(folder).glob("[!_.]*.py")}
    assert shipped == {case.name for case in CASES}
