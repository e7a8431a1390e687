"""Configuration files in a temporary folder, for an adapter called `acme`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bridge.edge.config.loader import Config, ConfigErrors, load

VENDORS = Path(__file__).parent.parent / "edge" / "vendors"
SECRET = "s3cr3t/Wört&\"'\\end"
"""Needs quoting in URLs, JSON and Python, so that no spelling of it is missed."""

ENVIRON = {"BRIDGED_ADAPTERS": str(VENDORS), "ACME_TOKEN": SECRET, "HOME": "/home/nobody"}
SOURCE = """[[source]]
name = "one"
adapter = "acme"
http_url = "https://acme.example"
token = { env = "ACME_TOKEN" }
"""


def write(folder: Path, text: str, drop_ins: Mapping[str, str] | None = None) -> Path:
    """The main file's path; drop-ins are given by name."""
    path = folder / "bridged.toml"
    path.write_text(text, encoding="utf-8")
    for name, drop_in in (drop_ins or {}).items():
        (folder / "bridged.d").mkdir(exist_ok=True)
        (folder / "bridged.d" / f"{name}.toml").write_text(drop_in, encoding="utf-8")
    return path


def loaded(
    folder: Path, text: str, environ: Mapping[str, str] | None = None, drop_ins: Mapping[str, str] | None = None
) -> Config:
    """What the text means."""
    return load(write(folder, text, drop_ins), ENVIRON | dict(environ or {}))


def refused(
    folder: Path, text: str, environ: Mapping[str, str] | None = None, drop_ins: Mapping[str, str] | None = None
) -> list[str]:
    """The complaints about the text, with the folder's name taken out."""
    try:
        config = loaded(folder, text, environ, drop_ins)
    except ConfigErrors as errors:
        return [str(problem).replace(f"{folder}/", "") for problem in errors.problems]
    raise AssertionError(f"nothing was refused: {config}")
