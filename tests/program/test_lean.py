"""What an idle daemon holds, and waits for when it starts: no module that nothing in its configuration needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.live_scene import LiveVendor
from tests.support.nats_server import free_port
from tests.support.program import Child
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

SCRIPT = """
import json, sys
from bridge.cli.main import main
code = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""
NEVER = {
    "rich": "tables for people",
    "pygments": "tables for people",
    "greenlet": "structlog, to find out whether it is there",
    "graphql": "judges documents, which a child does",
    "gql": "judges documents, which a child does",
    "nacl": "nkeys, for those who log in by one",
    "html": "a table of all names of characters",
    "importlib.metadata": "libraries, to find out their own version",
    "h11": "requests to the page, once there is one",
    "bridge.edge.ingress.conversation": "requests to the page, once there is one",
    "bridge.core.report.contract": "type checkers",
    "bridge.cli.conclusion": "a daemon that fails",
    "difflib": "those who misspell",
    "nats.js.client": "nats-py's JetStream, in place of which we have our own",
    "socketio.client": "Socket.IO's own sessions",
    "engineio.client": "Socket.IO's own sessions",
    "cryptography": "webhooks that are signed with a key pair",
    "apprise": "alerts",
    "cel": "conditions of alerts",
    "common_expression_language": "conditions of alerts",
    "prometheus_client": "metrics, for those who ask",
    "opentelemetry": "traces, for those who switch them on",
    "ariadne": "played vendors",
    "uvicorn": "played vendors",
    "bridge.sandbox": "played vendors",
    "bridge.cli.check": "another command",
    "bridge.cli.status": "another command",
}
"""Top-level packages and modules, and who would need them."""
LATER = {"aiohttp", "websockets", "bridge.edge.http_exchange", "bridge.edge.socketio_codec", "bridge.edge.websocket"}
UNASKED = {"http", "urllib.request", "email", "ctypes", "bridge.edge.listener"}
"""What comes with these, or with the page."""


async def modules_of(folder: Path, text: str, environ: dict[str, str], until: str, times: int = 1) -> set[str]:
    """What was imported in a daemon of this configuration when it ended, after it had logged `until`."""
    config = folder / "lean.toml"
    config.write_text(text, encoding="utf-8")
    daemon = Child(folder, "lean", ["run", "--config", str(config)], environ)
    daemon._command = [sys.executable, "-c", SCRIPT, "run", "--config", str(config)]
    daemon.start()
    try:
        await wait_until(lambda: not daemon.running or len(daemon.said(until)) >= times, 200, f"{until} to be said")
        assert daemon.running, daemon.tail()
        assert await daemon.terminate() == 0, daemon.tail()
        return set(json.loads(daemon.out()))
    finally:
        daemon.close()


def heavy(modules: set[str]) -> list[str]:
    return sorted(f"{name}: {why}" for name, why in NEVER.items() if name in modules)


async def test_an_idle_daemon_holds_nothing_it_does_not_need(tmp_path: Path) -> None:
    """NATS of its own, GraphQL and Socket.IO live, subscriptions, status page: none of the heavy modules is there."""
    vendors = [LiveVendor(tmp_path, vendor, vendor, seed=1) for vendor in ("pcvisit", "platform")]
    environ: dict[str, str] = {}
    text = head(tmp_path, f'listen = "127.0.0.1:{free_port()}"')
    try:
        for vendor in vendors:
            await vendor.begin()
            text += vendor.source(vendor.name)
            environ |= vendor.environment
        assert "[[source.subscription]]" in text
        modules = await modules_of(tmp_path, text, environ, "source.live", len(vendors))
    finally:
        for vendor in vendors:
            vendor.close()
    assert heavy(modules) == []
    # So that it would have been seen: what is needed only once there is something to do is there.
    assert modules >= LATER


async def test_nobody_waits_for_what_no_source_needs(tmp_path: Path) -> None:
    """Without a source no HTTP client and no codec is imported, and no server where the status page is off."""
    modules = await modules_of(tmp_path, head(tmp_path, "enabled = false"), {}, "bridged.started")
    assert heavy(modules) == []
    assert modules & (LATER | UNASKED) == set()
    assert "bridge.cli.daemon" in modules


def head(folder: Path, status: str) -> str:
    """A configuration without sources, as TOML."""
    state = json.dumps(str(folder / "state"))
    return f'[daemon]\nstate_dir = {state}\nlog_format = "json"\n[status]\n{status}\n'
