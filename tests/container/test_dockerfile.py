"""What the container is made of, as far as it can be judged without an engine. What it does is `make container`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "Dockerfile"
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").splitlines()


def test_the_linter_finds_nothing() -> None:
    """hadolint, without any rule ignored, and with the shell of every RUN looked through."""
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, "--no-color", DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_build_is_given_no_more_than_it_copies() -> None:
    """Neither tests nor secrets that lie about go into an image: whatever is not named stays out."""
    copied = {
        part
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
        for part in line.split()[:-1]
    }
    assert IGNORED[1] == "*"
    assert {line.removeprefix("!") for line in IGNORED if line.startswith("!")} == copied
    assert all((ROOT / part).exists() for part in copied)


def test_it_runs_the_python_that_we_support() -> None:
    """The newest of pyproject.toml, and the same in both stages."""
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text("utf-8"), re.MULTILINE))
    assert bases == {"python:3.13-slim-trixie"}
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text("utf-8")
