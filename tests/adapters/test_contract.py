"""Every adapter goes through the same named contract suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import adapters
from tests.adapters.cases import CASES
from tests.adapters.contract import CONTRACT, Case
from tests.adapters.hook_cases import HOOK_CASES, HookCase
from tests.adapters.hook_contract import HOOK_CONTRACT


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contract(case: Case, promise: Callable[[Case], None]) -> None:
    """Each promise of `contract.py` holds for each adapter of `cases.py`."""
    promise(case)


@pytest.mark.parametrize("promise", HOOK_CONTRACT, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("case", HOOK_CASES, ids=lambda case: case.sender)
def test_hook_contract(case: HookCase, promise: Callable[[HookCase], None]) -> None:
    """Each promise of `hook_contract.py` holds for each sender of `hook_cases.py`."""
    promise(case)


def test_no_adapter_is_left_out() -> None:
    """Every file in `adapters/` has a case."""
    shipped = {file.stem for folder in adapters.__path__ for file in Path(folder).glob("[!_.]*.py")}
    assert shipped == {*(case.name for case in CASES), *(case.name for case in HOOK_CASES)}
