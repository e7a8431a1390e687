"""TLS at the door: our certificate, theirs, and handshakes that lead nowhere."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.core.config import IngressTlsSettings
from bridge.edge.ingress.trouble import IngressMisconfigured
from tests.support.certificates import Authority
from tests.support.knocking import Desk, door, knocking, post
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The daemon runs on uvloop where there is one, and elsewhere on asyncio."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(ours: Authority, client_ca: Path | None = None) -> IngressTlsSettings:
    cert, key = ours.issue("server", "localhost")
    return IngressTlsSettings(cert=str(cert), key=str(key), client_ca=str(client_ca) if client_ca else None)


def trusting(ours: Authority, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ours.path)
    if shown is not None:
        context.load_cert_chain(*shown)
    return context


async def test_requests_come_encrypted(ours: Authority) -> None:
    """Many on one connection, each answered; nobody is named who showed no certificate."""
    desk = Desk(bound=1_000_000)
    async with door(desk, tls=settings(ours)) as listener, knocking(listener, trusting(ours)) as client:
        assert (await client.ask(post(b"x" * 500_000))).status == 200
        assert (await client.ask(post())).status == 200
        assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    assert [len(one.body) for one in desk.taken] == [500_000, 2]
    assert desk.taken[0].names == ()
    assert desk.taken[0].peer == "127.0.0.1"


async def test_a_client_is_named_by_its_certificate(ours: Authority) -> None:
    """Common name, DNS and URI names; one without a certificate is let in as nobody."""
    shown = ours.issue("client", "sender.example", "other.example", "spiffe://example/sender", "10.0.0.1")
    desk = Desk()
    async with door(desk, tls=settings(ours, ours.path)) as listener:
        async with knocking(listener, trusting(ours, shown)) as client:
            assert (await client.ask(post())).status == 200
        async with knocking(listener, trusting(ours)) as client:
            assert (await client.ask(post())).status == 200
    assert [tuple(one.names) for one in desk.taken] == [
        ("sender.example", "other.example", "spiffe://example/sender"),
        (),
    ]


async def test_a_strangers_certificate_is_refused(ours: Authority, tmp_path: Path) -> None:
    """A certificate of another authority ends the handshake: counted, and nothing reaches the answer."""
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "stranger").issue("client", "sender.example")
    desk = Desk()
    async with door(desk, tls=settings(ours, ours.path)) as listener:
        with pytest.raises((OSError, EOFError)):
            async with knocking(listener, trusting(ours, stranger)) as client:
                await client.ask(post())
        await wait_until(lambda: listener.counts.handshakes == 1)
    assert desk.asked == []


async def test_a_handshake_that_hangs_is_cut_off(ours: Authority) -> None:
    """Whoever connects and says nothing, or half a greeting, loses the connection, and its place is free."""
    async with door(Desk(), tls=settings(ours), header_timeout_s=0.2, max_connections=2) as listener:
        host, port = listener.addresses[0].split(":")
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with anyio.fail_after(60):
                async with await anyio.connect_tcp(host, int(port)) as stream:
                    if said:
                        await stream.send(said)
                    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                        await stream.receive()
        await wait_until(lambda: listener.counts.handshakes == 2)
        await wait_until(lambda: listener.counts.connections == 0)
        async with knocking(listener, trusting(ours)) as client:
            assert (await client.ask(post())).status == 200


async def test_plain_text_and_old_versions_are_refused(ours: Authority) -> None:
    """HTTP where TLS is spoken, and TLS before 1.2, come to nothing."""
    old = trusting(ours)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with door(Desk(), tls=settings(ours)) as listener:
        async with knocking(listener) as client:
            await client.send(post())
            assert b"HTTP" not in await client.ended()
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            async with knocking(listener, old):
                pass
        await wait_until(lambda: listener.counts.handshakes == 2)
        new = trusting(ours)
        new.maximum_version = ssl.TLSVersion.TLSv1_2
        async with knocking(listener, new) as client:
            assert (await client.ask(post())).status == 200


async def test_certificates_that_cannot_be_used_are_refused(ours: Authority, tmp_path: Path) -> None:
    """Missing, not PEM, not belonging together: one sentence that names the files."""
    cert, key = ours.issue("server", "localhost")
    _, other = ours.issue("other", "localhost")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for bad, told in (
        (IngressTlsSettings(cert=str(tmp_path / "none"), key=str(key)), "No such file"),
        (IngressTlsSettings(cert=str(junk), key=str(key)), f"cert {junk}"),
        (IngressTlsSettings(cert=str(cert), key=str(other)), "key values mismatch"),
        (IngressTlsSettings(cert=str(cert), key=str(key), client_ca=str(junk)), f"client_ca {junk}"),
    ):
        with pytest.raises(IngressMisconfigured) as caught:
            async with door(Desk(), tls=bad):
                pass
        assert told in str(caught.value)
        assert "expected" in str(caught.value)
