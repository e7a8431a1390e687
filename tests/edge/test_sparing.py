"""Libraries come without what they only try, and nobody who wants that later finds it missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def told(script: str) -> object:
    """What a fresh interpreter prints, as JSON."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SPARINGLY = "import json, sys; from bridge.edge.sparing import sparingly; sparingly('structlog', 'nats'); "


def test_what_is_only_tried_is_not_loaded() -> None:
    """Neither rich by structlog, nor aiohttp by nats-py, nor its own JetStream, which ours takes the place of."""
    heavy = ["rich", "pygments", "greenlet", "aiohttp", "nacl", "nats.js.client", "nats.js.kv"]
    assert told(SPARINGLY + f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))") == []
    assert told(SPARINGLY + "print(json.dumps(sorted({'structlog', 'nats'} - set(sys.modules))))") == []


def test_what_was_hidden_can_be_imported_afterwards() -> None:
    """Nothing stays hidden, and nats-py's JetStream is all there as soon as somebody asks for it."""
    script = """
import aiohttp, rich.console
from nats.aio.client import Client
import nats.js
client = Client()
print(json.dumps([type(client.jetstream()).__module__, nats.js.JetStreamManager.__name__, nats.js.__spec__.name]))
"""
    assert told(SPARINGLY + script) == ["nats.js.client", "JetStreamManager", "nats.js"]


def test_a_library_is_told_its_version_by_the_name_of_a_folder() -> None:
    """nats-py tells the server the same version as always; what reads all that is installed is not loaded for it."""
    script = """
import nats.aio.client, websockets.version
loaded = "importlib.metadata" in sys.modules
from importlib.metadata import version
print(json.dumps([loaded, nats.aio.client.__version__ == version("nats-py"), version("websockets")]))
"""
    from websockets.version import version

    assert told(SPARINGLY.replace("'nats'", "'nats', 'websockets'") + script) == [False, True, version]


def test_imports_are_not_looked_through_for_garbage() -> None:
    """Neither meanwhile nor afterwards; then it is looked for again. Who looks for none by himself is left alone."""
    script = """
import gc, json
from bridge.edge.sparing import uncollected
looks = []
gc.callbacks.append(lambda phase, info: looks.append(info["generation"]))
with uncollected():
    made = [[] for _ in range(50_000)]
    during = gc.isenabled()
during, frozen = [during, len(looks)], gc.get_freeze_count() > 50_000
more = [[] for _ in range(10)]
after = [gc.isenabled(), len(looks)]
gc.disable()
with uncollected():
    pass
print(json.dumps([during, frozen, after, gc.isenabled()]))
"""
    assert told(script) == [[False, 0], True, [True, 0], False]


def test_what_nobody_has_stays_missing() -> None:
    """An attribute that nats-py's JetStream does not have is an ordinary error, before and after it is loaded."""
    script = """
import nats
found = []
for _ in range(2):
    try:
        nats.js.no_such_thing
    except AttributeError as error:
        found.append("no_such_thing" in str(error))
print(json.dumps(found))
"""
    assert told(SPARINGLY + script) == [True, True]


def test_libraries_that_are_there_stay_as_they_are() -> None:
    """Who has imported structlog with rich keeps it."""
    script = "import structlog, rich, sys, json; before = id(structlog); from bridge.edge.sparing import sparingly; "
    script += (
        "sparingly('structlog'); print(json.dumps([before == id(sys.modules['structlog']), 'rich' in sys.modules]))"
    )
    assert told(script) == [True, True]


def test_one_module_of_a_package_comes_alone() -> None:
    """The Socket.IO codec without the client and the server beside it; the whole package can be had afterwards."""
    script = """
import json, sys
from bridge.edge import socketio_codec
alone = [name for name in sys.modules if name.partition(".")[0] in ("socketio", "engineio", "bidict")]
import socketio
print(json.dumps([alone, socketio.packet.Packet is socketio_codec.foreign.Packet, socketio.Client.__name__]))
"""
    assert told(script) == [[], False, "Client"]


def test_tls_contexts_made_meanwhile_trust_nobody(tmp_path: Path) -> None:
    """aiohttp's own contexts, which nobody uses, hold no authority; afterwards contexts are as they always were."""
    script = """
import json, ssl
from bridge.edge.sparing import without_authorities
with without_authorities():
    during = ssl.create_default_context()
after = ssl.create_default_context()
from bridge.edge import http_exchange
from aiohttp import connector
print(json.dumps([
    during.cert_store_stats()["x509_ca"], during.verify_mode == ssl.CERT_REQUIRED,
    connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509_ca"],
    connector._SSL_CONTEXT_VERIFIED.verify_mode == ssl.CERT_REQUIRED,
    "set_default_verify_paths" in vars(ssl.SSLContext), after.cert_store_stats()["x509_ca"],
]))
"""
    from tests.support.certificates import Authority

    trusted = Authority(tmp_path).path
    script = f"import os; os.environ['SSL_CERT_FILE'] = {str(trusted)!r}\n" + script
    assert told(script) == [0, True, 0, True, False, 1]


def test_authorities_are_read_once_and_only_for_who_needs_them() -> None:
    """A plain request to this machine makes no TLS context, https does, and there is one for all."""
    script = """
import anyio, json
from bridge.core.errors import Retry
from bridge.core.facts import Request
from bridge.edge.http import HttpClient
from bridge.edge.outgoing import tls

async def main():
    found = []
    async with HttpClient() as client:
        for url in ("http://127.0.0.1:9/", "https://127.0.0.1:9/"):
            try:
                await client.send(Request("GET", url), timeout_s=30, max_bytes=100)
            except Retry:
                found.append(client._tls is tls(None))
    return found

print(json.dumps(anyio.run(main)))
"""
    assert told(script) == [False, True]
