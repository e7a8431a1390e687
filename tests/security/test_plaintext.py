"""Nothing travels unencrypted to another machine unless the operator has said so, by the key that the refusal names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.core.config import NatsSettings
from bridge.edge.config.convert import fields_of
from bridge.edge.config.loader import ConfigErrors
from bridge.edge.discovery import Catalogue
from tests.support.command import Setup
from tests.support.configuration import loaded

pytestmark = pytest.mark.anyio

SHOWN = "would show credentials and events to everyone on the way to"
KEYS = {
    "pcvisit": 'http_url = "{http}"\nintegrator_token = {{ env = "T" }}\nuser_token = {{ env = "T" }}\n',
    "x_assist": 'graphql_url = "{http}"\nissuer = "{http}"\nclient_id = "c"\nclient_secret = {{ env = "T" }}\n',
    "platform": 'base_url = "{http}"\nlogin = "l"\npassword = {{ env = "T" }}\nstores = ["objects"]\n',
    "agyletime": 'tenant_url = "{http}"\nregional_url = "{http}"\nkey_id = "k"\nsecret = {{ env = "T" }}\n',
    "prosonata": 'base_url = "{http}"\napi_key = {{ env = "T" }}\n',
}
"""The addresses of every adapter that has any; `T` is a secret."""


def refused(folder: Path, text: str) -> list[str]:
    """What is wrong with a configuration; nothing may be."""
    try:
        loaded(folder, text, {"T": "secret-of-the-test-0001"})
    except ConfigErrors as errors:
        return [str(problem) for problem in errors.problems]
    return []


@pytest.mark.parametrize("adapter", KEYS)
def test_every_address_of_every_vendor(tmp_path: Path, adapter: str) -> None:
    """Plain HTTP to another machine is refused by the key's name; the same on this machine, or by HTTPS, is not."""
    source = f'[[source]]\nname = "one"\nadapter = "{adapter}"\n' + KEYS[adapter]
    text, found = source.format(http="http://vendor.example/x"), set[str]()
    while told := refused(tmp_path, text):
        # Each round what was named is put right: some keys are judged once the others are.
        assert all("use https" in line for line in told), told
        keys = {line.partition(": ")[2].partition(":")[0].rpartition(".")[2] for line in told}
        assert not keys & found, told
        found |= keys
        for key in keys:
            text = text.replace(f'{key} = "http:', f'{key} = "https:')
    settings = Catalogue.from_environ({}).load(adapter).Settings
    keys = {key for key, (field, _) in fields_of(settings).items() if not field.metadata.get("live")}
    assert found == {key for key in keys if key.endswith("_url") or key == "issuer"} - {"token_url"}
    assert refused(tmp_path, source.format(http="http://127.0.0.1:1/x")) == []
    assert refused(tmp_path, source.format(http="https://vendor.example/x")) == []


@pytest.mark.parametrize(
    ("keys", "right"),
    [
        ('url = "nats://nats.example:4222"', False),
        ('url = "NATS://nats.example"', False),
        ('url = "ws://nats.example"', False),
        ('url = ["nats://127.0.0.1", "nats://10.0.0.1:4222"]', False),
        ('url = "nats://127.0.0.1.nats.example"', False),
        ('url = "nats://nats.example"\n[nats.tls]', False),
        ('url = "nats://nats.example"\nplaintext = true', True),
        ('url = ["nats://127.0.0.1:4222", "nats://localhost", "nats://[::1]:4222"]', True),
        ('url = "tls://nats.example"', True),
        ('url = "nats://nats.example"\n[nats.tls]\nhostname = "nats.example"', True),
        ('url = "nats://nats.example"\n[nats.tls]\nhandshake_first = true', True),
    ],
)
def test_nats_on_other_machines(tmp_path: Path, keys: str, right: bool) -> None:
    """`nats://` to another machine needs TLS, or `plaintext = true`, which the refusal names."""
    told = [line for line in refused(tmp_path, f"[nats]\n{keys}\n") if SHOWN in line]
    assert (told == []) is right, told
    assert all(line.endswith("use tls:// or [nats.tls], or allow it by plaintext = true") for line in told)


async def test_check_and_run_refuse_it(tmp_path: Path) -> None:
    """Both commands end with the sentence, and nothing is connected to; the password is in neither text."""
    setup = Setup(tmp_path, nats='url = "nats://nats.example"\nuser = "u"\npassword = { env = "NP" }')
    for command in ("check", "run"):
        done = await setup.run(command, environ={"NP": "password-of-the-test"})
        assert done.code != 0
        assert SHOWN in done.out + done.err
        assert "password-of-the-test" not in done.out + done.err


def test_no_default_allows_it() -> None:
    """Who says nothing has said no."""
    assert NatsSettings().plaintext is False
