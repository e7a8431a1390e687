"""The connection to NATS, against real servers."""

from __future__ import annotations

import datetime
import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import nats.errors
import nkeys  # type: ignore[import-untyped]
import pytest
import structlog

from bridge.core.secret import Secret
from bridge.edge.nats.connection import (
    Denied,
    NatsConnection,
    NatsMisconfigured,
    NatsOptions,
    NatsUnauthorized,
    NatsUnreachable,
    connect,
)
from tests.support.certificates import Authority
from tests.support.nats_accounts import Operator, user_seed
from tests.support.nats_cluster import nats_cluster
from tests.support.nats_server import free_port, nats_server
from tests.support.proxy import proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

PASSWORD = "hunter2-is-not-secret-enough"


def options(url: str | tuple[str, ...], **more: Any) -> NatsOptions:
    urls = (url,) if isinstance(url, str) else url
    return NatsOptions(urls=urls, **{"connect_timeout_s": 10.0, "reconnect_wait_s": 0.2, **more})


@contextmanager
def captured() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


async def echoes(connection: NatsConnection) -> bool:
    """Whether a message makes the way to the server and back."""
    inbox = connection.client.new_inbox()
    subscription = await connection.client.subscribe(inbox)
    await connection.client.publish(inbox, b"hello")
    message = await subscription.next_msg(timeout=90)
    await subscription.unsubscribe()
    return bool(message.data == b"hello")


async def test_a_plain_address_connects(tmp_path: Path) -> None:
    """A plain URL is enough, and the server's facts are there."""
    async with nats_server(tmp_path) as server, connect(options(server.url)) as connection:
        assert connection.connected
        assert connection.problem == ""
        assert connection.epoch == 1
        assert connection.info["jetstream"] is True
        assert connection.server == f"127.0.0.1:{server.port}"
        assert await echoes(connection)


async def test_one_dead_server_of_several_is_passed_over(tmp_path: Path) -> None:
    """Of several addresses one that answers is enough, and nobody is alarmed."""
    async with nats_server(tmp_path) as server:
        dead = f"nats://127.0.0.1:{free_port()}"
        with captured() as logs:
            async with connect(options((dead, server.url)), give_up_after_s=30) as connection:
                assert await echoes(connection)
        assert [entry["event"] for entry in logs] == ["nats.connected"]


async def test_it_moves_to_the_other_server(tmp_path: Path) -> None:
    """When the server dies, the next one of the list is taken at once."""
    async with (
        nats_server(tmp_path, name="a") as one,
        nats_server(tmp_path, name="b") as two,
        connect(options((one.url, two.url)), give_up_after_s=30) as connection,
    ):
        first, second = (one, two) if connection.server.endswith(str(one.port)) else (two, one)
        await first.kill()
        await wait_until(lambda: connection.epoch == 2, what="the other server")
        assert connection.server == f"127.0.0.1:{second.port}"
        assert await echoes(connection)


async def test_it_survives_kills_and_says_so_once_each_time(tmp_path: Path) -> None:
    """A killed server is reconnected to, subscriptions live on, and each change of state is one log line."""
    lost: list[int] = []
    found: list[int] = []
    async with nats_server(tmp_path) as server:
        with captured() as logs:
            async with connect(
                options(server.url), on_disconnect=lambda: lost.append(1), on_reconnect=lambda: found.append(1)
            ) as connection:
                heard = await connection.client.subscribe("news")
                for round_number in (1, 2, 3):
                    await server.kill()
                    await wait_until(lambda: not connection.connected, what="the loss to be noticed")
                    with pytest.raises(nats.errors.OutboundBufferLimitError):
                        await connection.client.publish("news", b"lost")
                    await wait_until(lambda: connection.client.attempts > 3, what="some attempts")
                    assert f"127.0.0.1:{server.port}" in connection.problem
                    assert "connection refused" in connection.problem
                    await server.start()
                    with anyio.fail_after(90):
                        await connection.wait_connected()
                    assert connection.epoch == round_number + 1
                    await connection.client.publish("news", b"back")
                    assert (await heard.next_msg(timeout=90)).data == b"back"
        assert (len(lost), len(found)) == (3, 3)
        assert [entry["event"] for entry in logs] == [
            "nats.connected",
            *["nats.lost", "nats.away", "nats.connected"] * 3,
        ]


async def test_nothing_sent_before_a_break_arrives_after_it(tmp_path: Path) -> None:
    """A publish that waited when the connection broke is not delivered by the next connection."""
    async with (
        nats_server(tmp_path) as server,
        proxy(server.port) as way,
        connect(options(way.url)) as connection,
        connect(options(server.url)) as listener,
    ):
        heard = await listener.client.subscribe("news")
        await listener.client.flush()
        way.blackhole()
        # More than the sockets' buffers take: what comes after it waits in the client.
        for _ in range(40):
            await connection.client.publish("bulk", b"x" * 500_000)
        await wait_until(lambda: connection.client.pending_data_size == 0, what="the bulk to be handed over")
        await connection.client.publish("news", b"before")
        way.cut()
        way.heal()
        await wait_until(lambda: connection.epoch == 2, what="the reconnect")
        await connection.client.publish("news", b"after")
        assert (await heard.next_msg(timeout=90)).data == b"after"


UVLOOP = ("asyncio", {"use_uvloop": True})


@pytest.mark.parametrize("anyio_backend", [UVLOOP], ids=["uvloop"])
@pytest.mark.parametrize("flusher", [True, False], ids=["flushed", "by_the_sender"])
async def test_a_socket_that_broke_unnoticed_is_a_break_like_any(tmp_path: Path, flusher: bool) -> None:
    """Under uvloop, too, which says so in a way of its own: whoever sends next hears nothing, and it reconnects."""
    async with nats_server(tmp_path) as server, connect(options(server.url)) as connection:
        client: Any = connection.client
        assert await echoes(connection)
        await wait_until(client._flush_queue.empty)
        client._reading_task.cancel()
        if not flusher:
            client._flusher_task.cancel()
        await wait_until(lambda: client._reading_task.done() and (flusher or client._flusher_task.done()))
        client._transport._io_writer.transport.abort()
        await wait_until(lambda: "closed=True" in repr(client._transport._io_writer.transport))
        assert client.is_connected
        await client.publish("news", b"lost")
        await wait_until(lambda: connection.epoch == 2, 30, what="the reconnect")
        assert await echoes(connection)


async def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """The first connect keeps trying until the server is there."""
    async with nats_server(tmp_path) as server:
        await server.kill()
        with captured() as logs, anyio.fail_after(90):
            async with anyio.create_task_group() as tasks:

                async def start_late() -> None:
                    await wait_until(lambda: any(entry["event"] == "nats.away" for entry in logs), what="a warning")
                    await server.start()

                tasks.start_soon(start_late)
                async with connect(options(server.url)) as connection:
                    assert await echoes(connection)
        assert [entry["event"] for entry in logs] == ["nats.away", "nats.connected"]


async def test_giving_up_names_host_reason_and_attempts() -> None:
    """A one-shot command gives up in time, with a sentence that says what was tried."""
    port = free_port()
    with pytest.raises(NatsUnreachable) as caught:
        async with connect(options(f"nats://127.0.0.1:{port}"), give_up_after_s=2):
            raise AssertionError("connected to nobody")
    text = str(caught.value)
    assert f"NATS at 127.0.0.1:{port}: connection refused (since 20" in text
    assert ", attempt " in text
    assert "Is nats-server running there?" in text


async def test_an_unknown_host_is_named() -> None:
    """A name that does not resolve is called that."""
    with pytest.raises(NatsUnreachable, match=r"NATS at no-such-host\.invalid:4222: the name .* cannot be resolved"):
        async with connect(options("nats://no-such-host.invalid"), give_up_after_s=4):
            pass


async def test_a_label_no_resolver_takes_is_a_sentence_too() -> None:
    """A host name that Python refuses to encode does not end the attempts with a foreign exception."""
    with pytest.raises(NatsUnreachable, match="unexpected UnicodeError"):
        async with connect(options(f"nats://{'a' * 70}.example"), give_up_after_s=2):
            pass


async def test_something_else_that_listens_is_recognised() -> None:
    """A port where no NATS server greets is named as such, and its sockets are not kept."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100_000)

    port = free_port()
    async with anyio.create_task_group() as tasks:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
        tasks.start_soon(listener.serve, serve)
        with pytest.raises(NatsUnreachable, match="does not greet like a NATS server"):
            async with connect(options(f"nats://127.0.0.1:{port}"), give_up_after_s=2):
                pass
        # Its last connection is taken in: asyncio does not bear that an accept is cancelled at that moment.
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_a_silent_server_leaks_no_sockets(tmp_path: Path) -> None:
    """Attempts that get no greeting close their sockets."""
    async with nats_server(tmp_path) as server:
        ours = options(server.url, connect_timeout_s=0.3, ping_interval_s=0.3)
        before = _open_sockets()
        async with connect(ours) as connection:
            # The kernel goes on accepting connections for a stopped process.
            server.pause()
            await wait_until(lambda: connection.client.attempts > 5, what="attempts that stay unanswered")
            assert "no answer within 0.3 s" in connection.problem
            assert _open_sockets() <= before + 1
            server.resume()
            with anyio.fail_after(90):
                await connection.wait_connected()
        assert _open_sockets() <= before


def _open_sockets() -> int:
    return sum("socket:" in str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


async def test_a_blackhole_is_noticed_by_pings_and_left_at_once(tmp_path: Path) -> None:
    """Unanswered pings end a connection even while unsent data waits in it."""
    async with nats_server(tmp_path) as server, proxy(server.port) as way:
        with captured() as logs:
            async with connect(options(way.url, ping_interval_s=0.5, connect_timeout_s=3)) as connection:
                way.blackhole()
                for _ in range(40):
                    await connection.client.publish("news", b"x" * 500_000)
                await wait_until(lambda: not connection.connected, what="the silence to be noticed")
                way.cut()
                way.heal()
                with anyio.fail_after(90):
                    await connection.wait_connected()
                assert await echoes(connection)
        lost = next(entry for entry in logs if entry["event"] == "nats.lost")
        assert "stopped answering pings" in lost["reason"]


async def test_lame_duck_mode_moves_to_another_server(tmp_path: Path) -> None:
    """A server that is about to leave is left before it closes the connection."""
    async with (
        nats_server(tmp_path, name="a") as one,
        nats_server(tmp_path, name="b") as two,
        connect(options((one.url, two.url)), give_up_after_s=30) as connection,
    ):
        first, second = (one, two) if connection.server.endswith(str(one.port)) else (two, one)
        first.lame_duck()
        await wait_until(lambda: connection.epoch == 2, what="the move")
        assert connection.server == f"127.0.0.1:{second.port}"


async def test_user_and_password(tmp_path: Path) -> None:
    """User and password are accepted beside the address and inside it, percent-encoded."""
    password = "p@ss/w:rd#1"
    extra = f'authorization {{ user: bridge, password: "{password}" }}'
    async with nats_server(tmp_path, extra=extra) as server:
        async with connect(options(server.url, user="bridge", password=Secret(password))) as connection:
            assert await echoes(connection)
        inside = f"nats://bridge:p%40ss%2Fw%3Ard%231@127.0.0.1:{server.port}"
        async with connect(options(inside)) as connection:
            assert await echoes(connection)


async def test_token(tmp_path: Path) -> None:
    """A token is accepted beside the address and inside it."""
    async with nats_server(tmp_path, extra=f'authorization {{ token: "{PASSWORD}" }}') as server:
        async with connect(options(server.url, token=Secret(PASSWORD))) as connection:
            assert await echoes(connection)
        async with connect(options(f"nats://{PASSWORD}@127.0.0.1:{server.port}")) as connection:
            assert await echoes(connection)


@pytest.mark.parametrize("where", ["secret", "file"])
async def test_nkey(tmp_path: Path, where: str) -> None:
    """An nkey seed is accepted as a secret and from a file."""
    seed = user_seed()
    public = nkeys.from_seed(bytearray(seed.encode())).public_key.decode()
    kept: Secret | Path = Secret(seed)
    if where == "file":
        kept = tmp_path / "user.nk"
        kept.write_text(seed + "\n")
    async with (
        nats_server(tmp_path, extra=f"authorization {{ users: [ {{ nkey: {public} }} ] }}") as server,
        connect(options(server.url, nkey_seed=kept)) as connection,
    ):
        assert await echoes(connection)


async def test_creds_file(tmp_path: Path) -> None:
    """A credentials file is accepted by a server in operator mode, and read again at each connect."""
    operator = Operator()
    creds = tmp_path / "bridge.creds"
    creds.write_text(operator.creds())
    async with (
        nats_server(tmp_path, extra=operator.config(), jetstream=False) as server,
        connect(options(server.url, creds=creds)) as connection,
    ):
        assert await echoes(connection)
        creds.write_text("being rewritten just now")
        await server.restart()
        await wait_until(lambda: "holds no 'NATS USER JWT'" in connection.problem, what="the half-written file")
        creds.write_text(operator.creds())
        with anyio.fail_after(90):
            await connection.wait_connected()


async def test_credentials_that_expire_are_renewed_from_the_file(tmp_path: Path) -> None:
    """When the server ends a connection because its JWT expired, the next one presents the renewed file."""
    operator = Operator()
    creds = tmp_path / "bridge.creds"
    creds.write_text(operator.creds(lives_s=4))
    async with nats_server(tmp_path, extra=operator.config(), jetstream=False) as server:
        with captured() as logs:
            async with connect(options(server.url, creds=creds)) as connection:
                creds.write_text(operator.creds())
                await wait_until(lambda: connection.epoch == 2, what="the second connection")
                assert await echoes(connection)
        lost = next(entry for entry in logs if entry["event"] == "nats.lost")
        assert f"it refuses the credentials file {creds}" in lost["reason"]


@pytest.mark.parametrize("kind", ["password", "token", "url", "none"])
async def test_refused_credentials_say_what_to_check_and_not_the_secret(tmp_path: Path, kind: str) -> None:
    """Wrong credentials at the first connect are an error that names them without showing them."""
    extra = 'authorization { user: bridge, password: "the right one" }'
    async with nats_server(tmp_path, extra=extra) as server:
        wrong = {
            "password": options(server.url, user="bridge", password=Secret(PASSWORD, "env NATS_PASSWORD")),
            "token": options(server.url, token=Secret(PASSWORD)),
            "url": options(f"nats://bridge:{PASSWORD}@127.0.0.1:{server.port}"),
            "none": options(server.url),
        }[kind]
        with captured() as logs, pytest.raises(NatsUnauthorized) as caught:
            async with connect(wrong):
                pass
    text = str(caught.value)
    assert f"NATS at 127.0.0.1:{server.port}: it refuses " in text
    assert {
        "password": "user 'bridge' and its password (env NATS_PASSWORD)",
        "token": "the token",
        "url": "user 'bridge' and its password (NATS address)",
        "none": "no credentials (none are configured)",
    }[kind] in text
    assert PASSWORD not in text + repr(wrong) + repr(logs) + repr(caught.value.__context__)


async def test_a_user_taken_away_and_given_back_is_connected_again(tmp_path: Path) -> None:
    """A refusal after the first connection is waited out, not given up."""
    right = f'authorization {{ user: bridge, password: "{PASSWORD}" }}'
    async with nats_server(tmp_path, extra=right) as server:
        with captured() as logs:
            async with connect(options(server.url, user="bridge", password=Secret(PASSWORD))) as connection:
                server.configure('authorization { user: other, password: "other-password" }')
                server.reload()
                await wait_until(lambda: "it refuses user 'bridge'" in connection.problem, what="the refusal")
                await wait_until(lambda: connection.client.attempts > 2, what="more attempts")
                server.configure(right)
                server.reload()
                with anyio.fail_after(90):
                    await connection.wait_connected()
                assert await echoes(connection)
        assert PASSWORD not in repr(logs)


async def test_denied_subjects_are_recorded_once_each(tmp_path: Path) -> None:
    """What we may not publish or subscribe is recorded by subject, as it is written, and the connection stays."""
    told: list[Denied] = []
    extra = f"""authorization {{ users: [ {{ user: bridge, password: "{PASSWORD}", permissions: {{
        publish: ["_INBOX.>", "bridge.>"], subscribe: ["_INBOX.>"] }} }} ] }}"""
    async with nats_server(tmp_path, extra=extra) as server:
        with captured() as logs:
            async with connect(
                options(server.url, user="bridge", password=Secret(PASSWORD)), on_permission_error=told.append
            ) as connection:
                await connection.client.publish("$JS.API.STREAM.CREATE.BRIDGE", b"{}")
                await connection.client.publish("$JS.API.STREAM.CREATE.BRIDGE", b"{}")
                await connection.client.subscribe("Events.>")
                await wait_until(lambda: len(connection.denied) == 2, what="both refusals")
                assert await echoes(connection)
                assert connection.epoch == 1
        expected = [Denied("publish", "$JS.API.STREAM.CREATE.BRIDGE"), Denied("subscribe", "Events.>")]
        assert connection.denied == expected
        assert told == expected
        assert [entry["event"] for entry in logs].count("nats.denied") == 2


async def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    """A private CA and a client certificate are used, also when the server wants TLS before its greeting."""
    ca = Authority(tmp_path)
    cert, key = ca.issue("server", "localhost", "127.0.0.1")
    client_cert, client_key = ca.issue("client", "bridge")
    for first in (False, True):
        extra = f"""tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca.path}", verify: true,
            handshake_first: {str(first).lower()} }}"""
        async with nats_server(tmp_path, extra=extra, name=f"first-{first}") as server:
            files = {"tls_ca": ca.path, "tls_cert": client_cert, "tls_key": client_key, "tls_handshake_first": first}
            async with connect(options(server.url, **files), give_up_after_s=30) as connection:
                assert await echoes(connection)
                await server.restart()
                await wait_until(lambda: connection.epoch == 2, what="the reconnect")
            with pytest.raises(NatsUnreachable, match=r"TLS handshake failed|closed the connection"):
                async with connect(options(server.url, tls_ca=ca.path, tls_handshake_first=first), give_up_after_s=4):
                    pass


@pytest.mark.parametrize(
    ("names", "days", "trusted", "expected"),
    [
        (("other.example",), 1, True, "Hostname mismatch|IP address mismatch"),
        (("127.0.0.1",), -1, True, "certificate has expired"),
        (("127.0.0.1",), 1, False, "unable to get local issuer certificate|self-signed"),
    ],
)
async def test_a_certificate_that_does_not_match_is_a_clear_error(
    tmp_path: Path, names: tuple[str, ...], days: int, trusted: bool, expected: str
) -> None:
    """A wrong name, an expired certificate and an unknown CA are named, with the host."""
    ca = Authority(tmp_path)
    cert, key = ca.issue("server", *names, valid=datetime.timedelta(days=days))
    extra = f'tls {{ cert_file: "{cert}", key_file: "{key}" }}'
    async with nats_server(tmp_path, extra=extra) as server:
        ours = options(f"tls://127.0.0.1:{server.port}", tls_ca=ca.path if trusted else None)
        with pytest.raises(NatsUnreachable, match=rf"not accepted for '127\.0\.0\.1': .*({expected})"):
            async with connect(ours, give_up_after_s=4):
                pass


async def test_nothing_is_said_in_the_clear_where_tls_was_asked_for(tmp_path: Path) -> None:
    """A server without TLS gets no credentials from a client configured with TLS."""
    async with nats_server(tmp_path, extra=f'authorization {{ token: "{PASSWORD}" }}') as server:
        ours = options(f"tls://{PASSWORD}@127.0.0.1:{server.port}")
        with pytest.raises(NatsUnreachable, match="offers no TLS, and TLS is configured: nothing was sent"):
            async with connect(ours, give_up_after_s=4):
                pass


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"creds": "missing"}, "credentials file .*missing cannot be read: No such file"),
        ({"creds": "junk"}, "credentials file .*junk holds no 'NATS USER JWT' section"),
        ({"nkey_seed": "missing"}, "nkey file .*missing cannot be read: No such file"),
        ({"nkey_seed": "junk"}, "holds no valid nkey seed"),
        ({"tls_ca": "missing"}, "CA file .*missing cannot be used: No such file"),
        ({"tls_ca": "junk"}, "CA file .*junk cannot be used: not valid PEM"),
        ({"tls_cert": "junk", "tls_key": "missing"}, "client certificate and key .* cannot be used"),
    ],
)
async def test_files_that_cannot_be_used_are_an_error_at_once(
    tmp_path: Path, settings: dict[str, str], expected: str
) -> None:
    """A missing or broken file stops the connection before the first attempt, naming the file."""
    (tmp_path / "junk").write_text(f"SU{PASSWORD}\n")
    files = {key: tmp_path / name for key, name in settings.items()}
    with pytest.raises(NatsMisconfigured, match=expected) as caught:
        async with connect(options("nats://127.0.0.1:4222", **files), give_up_after_s=5):
            pass
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("urls", "more"),
    [
        ((), {}),
        (("http://127.0.0.1",), {}),
        (("ws://127.0.0.1",), {}),
        ((f"nats://user:{PASSWORD}/x@host",), {}),
        ((f"nats://user:{PASSWORD}#x@host",), {}),
        (("nats://",), {}),
        (("nats://host:70000",), {}),
        ((f"nats://a:{PASSWORD}@host", "nats://other"), {}),
        ((f"nats://a:{PASSWORD}@host",), {"token": Secret(PASSWORD)}),
        (("nats://host",), {"user": "a"}),
        (("nats://host",), {"token": Secret(PASSWORD), "creds": Path("x")}),
        (("nats://host",), {"tls_key": Path("x")}),
    ],
)
def test_addresses_and_settings_that_make_no_sense(urls: tuple[str, ...], more: dict[str, Any]) -> None:
    """What cannot be meant is refused with a sentence that shows no password."""
    with pytest.raises(NatsMisconfigured) as caught:
        NatsOptions(urls=urls, **more)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


def test_addresses_are_completed_and_hold_no_secret() -> None:
    """Scheme and port have defaults; credentials leave the address, and neither repr nor str shows them."""
    ours = NatsOptions(urls=(f"bridge:{PASSWORD}@host", f"tls://bridge:{PASSWORD}@[::1]:5000/"))
    assert ours.urls == ("nats://host:4222", "tls://[::1]:5000")
    assert ours.user == "bridge"
    assert ours.password == Secret(PASSWORD)
    assert PASSWORD not in repr(ours) + str(ours)
    assert ours.encrypted


async def test_leaving_the_block_closes_even_while_nats_is_away(tmp_path: Path) -> None:
    """Closing takes no longer than its deadline, with a dead server and with one that is stopped."""
    async with nats_server(tmp_path) as server:
        with anyio.fail_after(90):
            async with connect(options(server.url)) as connection:
                await server.kill()
                await wait_until(lambda: not connection.connected, what="the loss")
                await connection.client.subscribe("pending")
        assert connection.client.is_closed
        await server.start()
        with anyio.fail_after(90):
            async with connect(options(server.url)) as connection:
                await connection.client.subscribe("news")
                server.pause()
        server.resume()
        assert connection.client.is_closed


async def test_cancelling_the_first_connect_ends_it() -> None:
    """A connect that keeps trying can be cancelled at any moment."""
    with anyio.fail_after(90):
        with anyio.move_on_after(0.3) as scope:
            async with connect(options(f"nats://127.0.0.1:{free_port()}")):
                pass
        assert scope.cancelled_caught


async def test_an_exception_in_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    """The block's own exception is neither wrapped nor lost."""
    async with nats_server(tmp_path) as server:
        with pytest.raises(ZeroDivisionError):
            async with connect(options(server.url)):
                raise ZeroDivisionError


async def test_a_cluster_announces_its_members(tmp_path: Path) -> None:
    """Knowing one member is enough: the others are learned, and taken when it dies."""
    async with nats_cluster(tmp_path) as servers, connect(options(servers[0].url)) as connection:
        await wait_until(lambda: connection.client.servers_known == 3, what="the other members")
        await servers[0].kill()
        await wait_until(lambda: connection.epoch == 2, what="another member")
        assert connection.server in {f"127.0.0.1:{server.port}" for server in servers[1:]}


async def test_a_silent_server_is_left_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing any more when a process ends: that process waits for its deadline, and logs no error for it."""
    monkeypatch.setattr("bridge.edge.nats.connection._LEAVE_DEADLINE_S", 0.2)
    async with nats_server(tmp_path) as server:
        async with connect(options(server.url)) as connection:
            await connection.client.subscribe("here")
            await connection.client.flush()
            server.pause()
        server.resume()
    # Errors of tasks that nobody has asked for are told when they are collected.
    del connection
    gc.collect()
    await anyio.lowlevel.checkpoint()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
