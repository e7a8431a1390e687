"""Secrets are in nothing that is kept or shown: `tests/program/test_secrets.py` runs all of the program."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging as standard
import pickle
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.core.errors import BridgeError
from bridge.core.facts import GraphqlSession, Request
from bridge.core.measures import InstanceFacts, measure
from bridge.core.secret import MASK, Masker, Secret
from bridge.edge.config.loader import Config, ConfigErrors
from bridge.edge.http import HttpClient
from bridge.edge.nats.options import NatsOptions
from bridge.edge.prometheus import exposition
from bridge.edge.websocket import WebSockets
from tests.program.test_secrets import leaks
from tests.support.configuration import loaded
from tests.support.dialects import TRANSPORT

pytestmark = pytest.mark.anyio

SECRETS = {f"S{number}": f"planted-secret-{number}-Zq7{number * 7919}xW" for number in range(9)}
CONFIG = """
[nats]
url = "tls://nats.example"
user = "u"
password = { env = "S0" }
[status]
token = { env = "S1" }
[tracing]
endpoint = "https://collector.example/v1/traces"
token = { env = "S2" }
[[source]]
name = "a"
adapter = "pcvisit"
http_url = "https://vendor.example/graphql"
integrator_token = { env = "S3" }
user_token = { env = "S4" }
[[source]]
name = "b"
adapter = "webhook"
verify = "bearer"
secrets = [{ env = "S5" }]
[[source.event]]
entity = "thing"
id = "body.id"
[[source]]
name = "c"
adapter = "agyletime"
subdomain = "acme"
region = "eu"
key_id = "key"
secret = { env = "S6" }
[[alert]]
name = "ops"
preset = "health"
notify = [{ env = "S7" }]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """With a secret in every place that takes one."""
    return loaded(tmp_path, CONFIG, {**SECRETS, "S7": f"json://u:{SECRETS['S7']}@alerts.example"})


def everywhere(value: Any, depth: int = 0) -> list[str]:
    """Every way in which an object may be written, and those of what it holds."""
    found = [repr(value), str(value), f"{value}", "%s %r" % (value, value)]  # noqa: UP031 - one of the ways
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found += (
            [repr(dataclasses.replace(value))]
            if dataclasses.fields(value) and dataclasses.fields(value)[0].init
            else []
        )
        if depth < 4:
            for field in dataclasses.fields(value):
                found += everywhere(getattr(value, field.name), depth + 1)
    elif isinstance(value, (list, tuple)) and depth < 4:
        for one in value:
            found += everywhere(one, depth + 1)
    return found


def test_configuration_in_any_spelling(config: Config) -> None:
    """`repr`, `str`, formats and JSON of the configuration and of each table, source, alert and adapter."""
    assert len(config.secrets) >= 8
    texts = everywhere(config) + everywhere([config.adapter(one) for one in config.sources])
    assert leaks("\n".join(texts), SECRETS.values()) == []
    assert "Secret(" in "\n".join(texts)


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy, json.dumps], ids=lambda way: way.__name__)
def test_secrets_are_not_copied_out(way: Callable[[Any], Any]) -> None:
    """Neither pickled, nor handed to another process, nor written as JSON."""
    with pytest.raises(TypeError) as caught:
        way({"a": Secret(SECRETS["S0"])})
    assert leaks(str(caught.value), SECRETS.values()) == []


def test_what_is_wrong_with_a_configuration(tmp_path: Path) -> None:
    """Each key spoilt in turn: complaints quote none of the secrets, wherever they stand, also in place of a table."""
    for spoilt in (
        CONFIG.replace('{ env = "S0" }', f'"{SECRETS["S0"]}"'), CONFIG.replace('"u"', f'"{SECRETS["S1"]}"\nuser2 = 1'),
        CONFIG.replace('"tls://nats.example"', f'"nats://u:{SECRETS["S2"]}@nats.example"'),
        CONFIG.replace("https://vendor.example/graphql", f"https://u:{SECRETS['S3']}@vendor.example/graphql"),
        CONFIG.replace("https://collector.example", f"http://{SECRETS['S4']}@collector.example"),
        CONFIG.replace('[{ env = "S7" }]', f'["json://u:{SECRETS["S7"]}@alerts.example"]'),
    ):  # fmt: skip
        assert spoilt != CONFIG
        with pytest.raises(ConfigErrors) as caught:
            loaded(tmp_path, spoilt, {**SECRETS, "S7": f"json://u:{SECRETS['S7']}@alerts.example"})
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.problems)
        assert leaks(told, SECRETS.values()) == [], told


async def test_what_libraries_say_of_failures(caplog: pytest.LogCaptureFixture) -> None:
    """Their exceptions hold headers and addresses: none of them is a cause, a context or a local variable of ours."""
    caplog.set_level(standard.DEBUG)
    secret = SECRETS["S8"]
    headers = {"Authorization": Secret(secret, prefix="Bearer ")}
    failures: list[BaseException] = []

    async def talk(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            for answer in (b"HTTP/1.1 600 \xff\r\nSet-Cookie: a\r\n\r\n",):
                with anyio.move_on_after(5):
                    await stream.receive(1000)
                    await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, talk)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with HttpClient() as client:
            for url in (f"http://127.0.0.1:{port}/", "http://127.0.0.1:9/", f"https://127.0.0.1:{port}/"):
                try:
                    await client.send(Request("GET", url, headers), timeout_s=5, max_bytes=100)
                except BridgeError as error:
                    failures.append(error)
        for url in (f"ws://127.0.0.1:{port}/", "ws://127.0.0.1:9/"):
            try:
                async with WebSockets().connect(GraphqlSession(url, TRANSPORT, (), headers=headers)):
                    pass
            except BridgeError as error:
                failures.append(error)
        group.cancel_scope.cancel()
    assert len(failures) >= 4
    for failure in failures:
        shown = traceback.TracebackException.from_exception(failure, capture_locals=True)
        ours = [frame for frame in shown.stack if "/bridge/" in frame.filename]
        told = str(failure) + repr(failure) + "".join(str(frame.locals) for frame in ours)
        assert leaks(told, [secret]) == [], told
        assert failure.__cause__ is None or isinstance(failure.__cause__, BridgeError)
    assert leaks(caplog.text, [secret]) == []


def test_metrics_hold_names_of_the_configuration_alone() -> None:
    """The exposition is made of numbers, of names that the operator gave, and of words of ours."""
    facts = InstanceFacts(version="1", now_ms=0, since_ms=0, missing={"ops": 1})
    told = exposition(lambda: measure(facts))("")[1].decode()
    assert leaks(told, SECRETS.values()) == []
    assert NatsOptions(urls=("nats://u:planted-pw-0001@127.0.0.1",)).urls == ("nats://127.0.0.1:4222",)
    assert "planted-pw" not in repr(NatsOptions(urls=("nats://u:planted-pw-0001@127.0.0.1",)))


def test_a_jwt_of_anybody_s_is_masked_in_one_look() -> None:
    """A million beginnings of one cost no more than their letters."""
    masker = Masker([Secret(SECRETS["S0"])])
    jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln"
    assert masker.mask(f"a {jwt}, b=x{jwt}.y {SECRETS['S0']}") == f"a {MASK}, b=x{MASK}.y {MASK}"
    for text in ("eyJA" * 500_000, "eyJaaaaa." * 200_000, "eyJaaaaa.aaaaa" * 100_000, "a." * 900_000):
        begun = time.process_time()
        masker.mask(text)
        assert time.process_time() - begun < 2.0
