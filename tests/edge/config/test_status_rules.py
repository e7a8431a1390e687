"""What `[status]` may say: who may be told how things are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.configuration import SOURCE, loaded, refused

TOKEN = {"PAGE": "a-token-long-enough"}
WITH_TOKEN = 'token = { env = "PAGE" }\n'


@pytest.mark.parametrize("listen", ["0.0.0.0:8790", "[::]:8790", "192.0.2.7:8790", "status.example.org:8790"])
def test_what_others_reach_needs_a_token(tmp_path: Path, listen: str) -> None:
    """An address that is not a loopback one is refused without a token, with file, line and key; with one it is not."""
    table = f'[status]\nlisten = "{listen}"\n'
    (said,) = refused(tmp_path, table + SOURCE)
    assert said.startswith("bridged.toml:2: status.listen: ")
    assert "can be reached from other machines: set token" in said
    config = loaded(tmp_path, table + WITH_TOKEN + SOURCE, TOKEN)
    (warning,) = config.warnings
    assert (warning.line, warning.key) == (2, "status.listen")
    assert "unencrypted" in warning.message
    assert "a-token-long-enough" not in repr(config)


@pytest.mark.parametrize("listen", ["127.0.0.1:8790", "127.1.2.3:1", "[::1]:8790", "localhost:0"])
def test_this_machine_needs_none(tmp_path: Path, listen: str) -> None:
    """A loopback address is let in without."""
    config = loaded(tmp_path, f'[status]\nlisten = "{listen}"\n{SOURCE}')
    assert (config.status.listen, config.warnings) == (listen, ())


@pytest.mark.parametrize("listen", ["8790", "127.0.0.1", "::1:8790", "127.0.0.1:99999", ""])
def test_what_is_no_address_is_refused(tmp_path: Path, listen: str) -> None:
    """With the place it stands in, and an example."""
    (said,) = refused(tmp_path, f'[status]\nlisten = "{listen}"\n{SOURCE}')
    assert said.startswith("bridged.toml:2: status.listen: ")
    assert "is no address and port" in said


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    """Fewer than 16 characters, which are not shown."""
    (said,) = refused(tmp_path, "[status]\n" + WITH_TOKEN + SOURCE, {"PAGE": "hunter2-hunter2"})
    assert said == "bridged.toml:2: status.token: is too short: expected at least 16 characters"


def test_what_is_not_served_needs_no_token(tmp_path: Path) -> None:
    """What is said beside `enabled = false` is without effect, and that is said."""
    config = loaded(tmp_path, f'[status]\nenabled = false\nlisten = "0.0.0.0:8790"\n{SOURCE}')
    assert [(one.key, one.message) for one in config.warnings] == [
        ("status.listen", "has no effect, as enabled is false")
    ]
