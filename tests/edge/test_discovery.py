"""Adapters are found by their file names, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.edge.discovery import BrokenAdapter, Catalogue, UnknownAdapter, outdated, summary
from tests.support.configuration import VENDORS

WHOLE = (VENDORS / "acme.py").read_text()


def test_a_file_is_an_adapter(tmp_path: Path) -> None:
    """Every `<name>.py` counts; hidden and private files do not; loading twice gives the same class."""
    for name in ("zeta.py", "_private.py", ".hidden.py", "notes.txt"):
        (tmp_path / name).write_text(WHOLE)
    catalogue = Catalogue.from_environ({"BRIDGED_ADAPTERS": f"{VENDORS}:{tmp_path}:/no/such/folder"})
    assert {"acme", "zeta"} <= set(catalogue.names())
    assert not {"_private", ".hidden", "notes", "__init__"} & set(catalogue.names())
    assert catalogue.load("zeta") is catalogue.load("zeta")
    assert (
        summary(catalogue.load("acme"))
        == "A vendor that exists in tests only: one setting of every type the loader knows."
    )


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """Of the adapters that exist, the most similar one is suggested; without one, all are named."""
    with pytest.raises(UnknownAdapter, match='did you mean "acme"'):
        Catalogue([VENDORS]).load("acne")
    with pytest.raises(UnknownAdapter, match=r"known adapters: .*acme"):
        Catalogue([VENDORS]).load("zzzzzz")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("Adapter = 1", "no class named Adapter"),
        ("from bridge.adapter import Adapter", "no class named Adapter"),
        (WHOLE.replace("Settings = AcmeSettings", "Settings = int"), "does not extend bridge.adapter.BaseSettings"),
        (WHOLE.replace('vendor = "acme"', ""), "Adapter.vendor is missing"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong with an adapter's file is said, with the file's name."""
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(BrokenAdapter, match=words) as caught:
        Catalogue([tmp_path]).load("bad")
    assert str(tmp_path / "bad.py") in str(caught.value)


def test_a_file_that_has_changed_since_it_was_loaded_is_named(tmp_path: Path) -> None:
    """As long as it differs, and only where somebody uses it: what runs is what was loaded."""
    file = tmp_path / "changing.py"
    file.write_text(WHOLE)
    Catalogue([tmp_path]).load("changing")
    assert outdated(["changing"]) == []
    file.write_text(WHOLE + "# another\n")
    assert outdated(["changing", "acme"]) == [f"the adapter in {file}"]
    assert outdated(["acme"]) == []
    file.unlink()
    assert outdated(["changing"]) == [f"the adapter in {file}"]


def test_a_broken_file_that_was_mended_is_as_it_was_loaded(tmp_path: Path) -> None:
    """What could not be loaded does not run, so nothing is older than the file."""
    file = tmp_path / "mended.py"
    file.write_text("def")
    with pytest.raises(BrokenAdapter):
        Catalogue([tmp_path]).load("mended")
    file.write_text(WHOLE)
    Catalogue([tmp_path]).load("mended")
    assert outdated(["mended"]) == []
