"""Secrets: three forms of reference, each way they can fail, and that no failure shows one."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest

from bridge.core.secret import Masker
from bridge.edge.config.loader import Config, ConfigErrors, load
from tests.edge.config.test_loader import WRONG
from tests.support.configuration import ENVIRON, SECRET, SOURCE, loaded, refused, write


def source_with(reference: str) -> str:
    """The source, its token referred to in another way; it stands on line 5."""
    return SOURCE.replace('{ env = "ACME_TOKEN" }', reference)


def assert_hidden(text: str) -> None:
    """No spelling of the secret is in the text."""
    for spelling in (SECRET, SECRET[:6], quote(SECRET, safe=""), repr(SECRET)[1:-1], "Wört"):
        assert spelling not in text


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_file_gives_its_text_without_the_last_newline(tmp_path: Path, ending: str) -> None:
    """What an editor adds at the end is not part of the secret; nothing else is taken away."""
    path = tmp_path / "token"
    path.write_bytes((SECRET + ending).encode())
    path.chmod(0o600)
    config = loaded(tmp_path, source_with('{ file = "token" }'))
    assert config.secrets[0].reveal() == SECRET
    assert config.secrets[0].origin == f"file {path}"
    assert config.warnings == ()


def test_a_credential_comes_from_systemds_folder(tmp_path: Path) -> None:
    """`credential` names a file in $CREDENTIALS_DIRECTORY."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "acme-token").write_text(SECRET)
    config = loaded(tmp_path, source_with('{ credential = "acme-token" }'), {"CREDENTIALS_DIRECTORY": str(folder)})
    assert config.secrets[0].reveal() == SECRET
    assert config.secrets[0].origin == "credential acme-token"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (f"'{SECRET[:9]}'", "a secret is never written into the file; write { env"),
        ("12345678", "a secret is never written into the file; write { env"),
        (f"['{SECRET[:9]}']", "a secret is never written into the file"),
        ("{}", "exactly one of env, file, credential"),
        (f"{{ value = '{SECRET[:9]}' }}", "exactly one of env, file, credential"),
        ('{ env = "A", file = "b" }', "exactly one of env, file, credential"),
        ("{ env = 1 }", "expected { env = text }"),
        ('{ env = "" }', "expected { env = text }"),
        ('{ env = "NOT_SET" }', "the environment variable NOT_SET is not set"),
        ('{ env = "EMPTY" }', "env EMPTY is empty"),
        (f"{{ env = '{SECRET[:9]}' }}", "not the name of an environment variable"),
        ('{ file = "gone" }', "gone cannot be read: No such file or directory"),
        ('{ file = "." }', "cannot be read: Is a directory"),
        ('{ file = "\\u0000" }', "cannot be read"),
        ('{ file = "pipe" }', "is not a regular file"),
        ('{ file = "blank" }', "blank is empty"),
        ('{ file = "binary" }', "is not UTF-8 text"),
        ('{ file = "huge" }', "is larger than 64 KiB"),
        ('{ credential = "x" }', "needs $CREDENTIALS_DIRECTORY"),
        ('{ credential = "../x" }', "not the name of a credential"),
    ],
)
def test_a_reference_that_leads_nowhere_says_why(tmp_path: Path, reference: str, words: str) -> None:
    """Each wrong reference is reported at its line with the reason, and without what it holds."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "blank").write_text("\n")
    (tmp_path / "binary").write_bytes(SECRET.encode() + b"\xff")
    (tmp_path / "huge").write_text(SECRET * 9999)
    (complaint,) = refused(tmp_path, source_with(reference), {"EMPTY": ""})
    assert complaint.startswith('bridged.toml:5: source["one"].token: ')
    assert words in complaint
    assert "12345678" not in complaint
    assert_hidden(complaint)


def test_a_file_everybody_can_read_is_warned_of(tmp_path: Path) -> None:
    """The warning names the file and what to do; the file is used all the same."""
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "token").chmod(0o644)
    (warning,) = loaded(tmp_path, source_with('{ file = "token" }')).warnings
    assert (warning.line, warning.key) == (5, 'source["one"].token')
    assert warning.message == f"the file {tmp_path}/token can be read by every user: chmod o-r it"


@pytest.mark.parametrize(
    ("value", "words"), [("x" * (Masker.SHORTEST - 1), "too short"), (f" {SECRET}", "white space")]
)
def test_an_odd_secret_is_warned_of(tmp_path: Path, value: str, words: str) -> None:
    """One too short to be masked, or with white space around it, works but is mentioned."""
    (warning,) = loaded(tmp_path, SOURCE, {"ACME_TOKEN": value}).warnings
    assert words in warning.message
    assert value.strip() not in warning.message


URL = f"https://user:{quote(SECRET, safe='')}@acme.example/x"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (SOURCE.replace("https://acme.example", URL), 'bridged.toml:4: source["one"].http_url:'),
        (SOURCE + f"companies = ['{URL}']\n", 'bridged.toml:6: source["one"].companies[0]:'),
        (SOURCE + f"variables = {{ a = {{ b = '{URL}' }} }}\n", 'bridged.toml:6: source["one"].variables.a.b:'),
        (f"[nats]\nurl = '{URL.replace('https', 'nats')}'\n", "bridged.toml:2: nats.url:"),
        (f"[nats]\nurl = ['tls://a',\n'tls://{SECRET[:6]}@b']\n", "bridged.toml:3: nats.url[1]:"),
    ],
)
def test_a_login_inside_an_address_is_a_literal_secret(tmp_path: Path, text: str, place: str) -> None:
    """`https://user:password@host` is refused wherever it stands, and is not repeated."""
    (complaint,) = refused(tmp_path, text)
    assert complaint.startswith(place)
    assert "literal secret" in complaint
    assert_hidden(complaint)


@pytest.mark.parametrize("kind", WRONG)
def test_no_failure_shows_a_secret(kind: str, tmp_path: Path) -> None:
    """With a real secret loaded, no error's text, repr or traceback holds any spelling of it."""
    try:
        load(write(tmp_path, WRONG[kind][0]), ENVIRON)
    except ConfigErrors as errors:
        assert_hidden(f"{errors} {errors!r} {errors.args} {errors.problems} {traceback.format_exc()}")
    else:
        raise AssertionError(kind)


@pytest.mark.parametrize("key", ["http_url", "page_size", "auth", "companies", "accounts", "adapter", "name", "raw"])
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path, key: str) -> None:
    """Whoever writes a secret into another key is told what was expected, not what was found."""
    lines = [line for line in SOURCE.splitlines() if not line.startswith(key)]
    complaints = refused(tmp_path, "\n".join([*lines, f"{key} = ['{SECRET[:9]}', 1]", ""]))
    assert_hidden(" ".join(complaints))
    if key != "name":
        complaints = refused(tmp_path, "\n".join([*lines, f"{key} = '{SECRET[:9]}'", ""]))
        assert_hidden(" ".join(complaints))


def test_a_loaded_configuration_can_be_printed(tmp_path: Path) -> None:
    """Neither repr nor str of the whole configuration, nor of any part of it, shows a secret."""
    config: Config = loaded(
        tmp_path, SOURCE + '[nats]\nurl = "tls://a"\nuser = "u"\npassword = { env = "ACME_TOKEN" }\n'
    )
    assert_hidden(f"{config} {config!r} {config.sources} {config.secrets} {config.nats} {vars(config)}")
