"""What `[tracing]` may say, and what must be installed for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.edge.config import tracing_rules
from tests.support.configuration import SOURCE, loaded, refused


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:4318/v1/traces", "http://[::1]:4318/", "http://localhost:1", "https://otel.example.org/x"],
)
def test_spans_go_to_this_machine_or_encrypted(tmp_path: Path, endpoint: str) -> None:
    """Everything else is as it is by default: all traces."""
    config = loaded(tmp_path, f'[tracing]\nendpoint = "{endpoint}"\n{SOURCE}')
    assert config.tracing is not None
    assert (config.tracing.endpoint, config.tracing.ratio, config.tracing.token) == (endpoint, 1.0, None)
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("http://otel.example.org:4318/v1/traces", "use https://"),
        ("grpc://127.0.0.1:4317", "expected an address such as"),
        ("127.0.0.1:4318", "expected an address such as"),
        ("https://me:hunter22@otel.example.org/", "a user name or password inside a URL"),
    ],
)
def test_an_address_that_shows_spans_to_others_is_refused(tmp_path: Path, endpoint: str, why: str) -> None:
    """With file, line and key, and without what it says."""
    (said,) = refused(tmp_path, f'[tracing]\nendpoint = "{endpoint}"\n{SOURCE}')
    assert said.startswith("bridged.toml:2: tracing.endpoint: ")
    assert why in said
    assert "hunter22" not in said


@pytest.mark.parametrize("ratio", ["1.01", "-0.1"])
def test_a_share_is_between_none_and_all(tmp_path: Path, ratio: str) -> None:
    """Nothing below, nothing above."""
    (said,) = refused(tmp_path, f'[tracing]\nendpoint = "http://127.0.0.1:1/"\nratio = {ratio}\n{SOURCE}')
    assert said.startswith("bridged.toml:3: tracing.ratio: ")


def test_without_the_extra_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the table, before anything runs."""
    monkeypatch.setattr(tracing_rules, "_NEEDED", ("sdk/trace", "exporter/otlp/proto/nothing"))
    (said,) = refused(tmp_path, f'[tracing]\nendpoint = "http://127.0.0.1:1/"\n{SOURCE}')
    assert said == (
        "bridged.toml:1: tracing: the OpenTelemetry libraries are not installed: pip install 'bridged[tracing]', "
        "or remove this table"
    )
