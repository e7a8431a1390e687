"""What a new configuration changes: sources, alerts, doors, logging, and what takes a restart. No secret shows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.core.alerts.settings import AlertSettings
from bridge.core.config import (
    DaemonSettings,
    IngressSettings,
    IngressTlsSettings,
    NatsSettings,
    StatusSettings,
    TlsSettings,
    TracingSettings,
)
from bridge.core.reload import Change, difference
from bridge.core.secret import Secret
from bridge.core.settings import BaseSettings, setting


@dataclass(frozen=True, kw_only=True)
class Acme(BaseSettings):
    """A vendor's settings."""

    token: Secret = setting(doc="the token")
    pages: int = setting(10, doc="how many")


@dataclass(frozen=True, kw_only=True)
class Other(BaseSettings):
    """Another vendor's, which look alike."""

    token: Secret = setting(doc="the token")
    pages: int = setting(10, doc="how many")


def acme(name: str, token: str = "s3cret-token", origin: str = "env T", **given: Any) -> Acme:
    return Acme(name=name, adapter="acme", token=Secret(token, origin), **given)


def alert(**given: Any) -> AlertSettings:
    return AlertSettings(name="ops", notify=[Secret("ntfys://host/topic", "env OPS")], **given)


@dataclass(frozen=True)
class Config:
    """What the loader makes, as far as it is compared."""

    nats: NatsSettings = field(default_factory=NatsSettings)
    daemon: DaemonSettings = field(default_factory=DaemonSettings)
    ingress: IngressSettings = field(default_factory=IngressSettings)
    status: StatusSettings = field(default_factory=StatusSettings)
    tracing: TracingSettings | None = None
    sources: tuple[BaseSettings, ...] = (acme("one"), acme("two"))
    alerts: tuple[AlertSettings, ...] = (alert(),)


BEFORE = Config()
SAME = Change(unchanged=("one", "two"))
TLS = IngressTlsSettings(cert="/a", key="/b")


def sources(*given: BaseSettings) -> dict[str, Any]:
    return {"sources": given}


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        ({}, SAME),
        (sources(acme("two"), acme("one")), Change(unchanged=("two", "one"))),
        (sources(acme("one"), acme("two"), acme("three")), Change(added=("three",), unchanged=("one", "two"))),
        (sources(acme("two")), Change(removed=("one",), unchanged=("two",))),
        (sources(), Change(removed=("one", "two"))),
        (sources(acme("one", pages=11), acme("two")), Change(changed={"one": ("pages",)}, unchanged=("two",))),
        (sources(acme("one", "other"), acme("two")), Change(changed={"one": ("token",)}, unchanged=("two",))),
        (sources(acme("one", origin="file /run/t"), acme("two")), SAME),
        (
            sources(acme("one", "other", raw=True, pages=1), acme("two")),
            Change(changed={"one": ("raw", "token", "pages")}, unchanged=("two",)),
        ),
        (
            sources(Other(name="one", adapter="acme", token=Secret("s3cret-token")), acme("two")),
            Change(changed={"one": ("adapter",)}, unchanged=("two",)),
        ),
        (
            sources(acme("uno"), acme("two", "other")),
            Change(added=("uno",), removed=("one",), changed={"two": ("token",)}),
        ),
        ({"alerts": (alert(throttle="10m"),)}, dataclasses.replace(SAME, alerts=True)),
        ({"alerts": ()}, dataclasses.replace(SAME, alerts=True)),
        (
            {"alerts": (AlertSettings(name="ops", notify=[Secret("ntfys://host/topic", "file /run/ops")]),)},
            dataclasses.replace(SAME, alerts=True),
        ),
        ({"ingress": IngressSettings(listen="0.0.0.0:80")}, dataclasses.replace(SAME, ingress=True)),
        ({"ingress": IngressSettings(tls=TLS)}, dataclasses.replace(SAME, ingress=True)),
        ({"daemon": DaemonSettings(log_level="debug")}, dataclasses.replace(SAME, logging=True)),
        ({"daemon": DaemonSettings(log_format="json")}, dataclasses.replace(SAME, logging=True)),
        (
            {"daemon": DaemonSettings(log_level="debug", lease_s=3, instance="b", state_dir="/x")},
            dataclasses.replace(SAME, logging=True, restart=("daemon.state_dir", "daemon.instance", "daemon.lease_s")),
        ),
        (
            {"nats": NatsSettings(url="nats://host", password=Secret("pw-pw-pw"), tls=TlsSettings(ca="/ca"))},
            dataclasses.replace(SAME, restart=("nats.url", "nats.tls", "nats.password")),
        ),
        ({"status": StatusSettings(enabled=False)}, dataclasses.replace(SAME, restart=("status.enabled",))),
        ({"tracing": TracingSettings(endpoint="http://x")}, dataclasses.replace(SAME, restart=("tracing",))),
    ],
)
def test_the_table_of_differences(after: dict[str, Any], wanted: Change) -> None:
    """Each kind of change, and no other, is found: by names, in the order of the new configuration, with its keys."""
    assert difference(BEFORE, dataclasses.replace(BEFORE, **after)) == wanted


def test_what_takes_a_restart_is_found_both_ways() -> None:
    """A table that goes is as much a change as one that comes; a key inside it is named."""
    with_it = Config(tracing=TracingSettings(endpoint="http://x"))
    assert difference(with_it, BEFORE).restart == ("tracing",)
    other = Config(tracing=TracingSettings(endpoint="http://x", ratio=0.5))
    assert difference(with_it, other).restart == ("tracing.ratio",)


def test_nothing_of_it_shows_a_secret() -> None:
    """Neither its text nor its JSON; a rotated secret is named by its key."""
    after = Config(nats=NatsSettings(password=Secret("pw-of-nats")), sources=(acme("one", "n3w-token"), acme("two")))
    change = difference(BEFORE, after)
    told = f"{change!r} {change.as_json()} {change.sentence()}"
    assert "token" in told
    for secret in ("n3w-token", "s3cret-token", "pw-of-nats"):
        assert secret not in told


def test_it_is_said_in_one_line() -> None:
    """How many sources, and all else that is not to be overlooked."""
    assert difference(BEFORE, BEFORE).sentence() == "nothing has changed"
    after = Config(
        nats=NatsSettings(url="nats://host"),
        daemon=DaemonSettings(log_level="debug"),
        ingress=IngressSettings(max_connections=5),
        sources=(acme("two", pages=3), acme("three"), acme("four")),
        alerts=(),
    )
    assert difference(BEFORE, after).sentence() == (
        "sources: 2 added, 1 removed, 1 changed, 0 as before; alerts begun anew; [ingress] taken over; "
        "logging taken over; a restart is needed for nats.url"
    )


def test_as_json_it_has_every_key() -> None:
    """Whoever reads it need not ask whether a key is there."""
    assert difference(BEFORE, Config(sources=(acme("one", pages=3),))).as_json() == {
        "added": [],
        "removed": ["two"],
        "changed": {"one": ["pages"]},
        "unchanged": [],
        "alerts": False,
        "ingress": False,
        "logging": False,
        "restart": [],
    }
