"""What the configuration of a source that takes webhooks may say, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.edge.config.loader import Config, ConfigErrors, load
from tests.support.certificates import Authority

GOOD = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAx"
PUBLIC = "whpk_" + "A" * 43 + "="
ENVIRON = {
    "GOOD": GOOD, "WEAK": "whsec_c2VjcmV0LW9mLXRoZS0=", "BAD": "hunter2-hunter2", "TOKEN": "a-long-token-0001",
    "PRIVATE": "whsk_" + "A" * 43 + "=", "HOME": "/nowhere",
}  # fmt: skip
STANDARD = 'verify = "standard"\nsecrets = [{ env = "GOOD" }]\n'


def loaded(folder: Path, source: str, ingress: str = "", name: str = "shop", **environ: str) -> Config:
    path = folder / "bridged.toml"
    path.write_text(f'{ingress}\n[[source]]\nname = "{name}"\nadapter = "webhook"\n{source}')
    return load(path, ENVIRON | environ)


def problems(folder: Path, source: str, ingress: str = "", name: str = "shop") -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(folder, source, ingress, name)
    assert "hunter2" not in str(caught.value)
    return [f"{one.line} {one.key}: {one.message}" for one in caught.value.problems]


def warnings(folder: Path, source: str, ingress: str = "") -> list[str]:
    return [f"{one.line} {one.key}: {one.message}" for one in loaded(folder, source, ingress).warnings]


def test_a_vendor_is_a_table(tmp_path: Path) -> None:
    """The shortest one: who may post. Without warnings."""
    config = loaded(tmp_path, STANDARD)
    assert config.warnings == ()
    assert config.adapter(config.sources[0]).hook is not None


def test_a_public_key_needs_no_secret(tmp_path: Path) -> None:
    """It stands in the file; a secret there is refused."""
    assert warnings(tmp_path, f'verify = "standard"\npublic_keys = ["{PUBLIC}"]\n') == []
    (said,) = problems(tmp_path, f'verify = "standard"\npublic_keys = ["{GOOD}"]\n')
    assert said.startswith('6 source["shop"].public_keys[0]: expected a public key')
    assert GOOD not in said


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", '2 source["shop"]: the key verify is missing'),
        ('verify = "none"', '5 source["shop"].verify: expected one of'),
        ('verify = "standard"', '2 source["shop"]: the key secrets is missing'),
        ('verify = "standard"\nsecrets = ["whsec_AAAA"]', "a secret is never written into the file"),
        ('verify = "standard"\nsecrets = [{ env = "BAD" }]', '6 source["shop"].secrets[0]: the key of env BAD is none'),
        ('verify = "standard"\nsecrets = [{ env = "PRIVATE" }]', "a private key signs"),
        ('verify = "hmac"\nsecrets = [{ env = "BAD" }]', "the table [source.hmac] is missing"),
        ('verify = "hmac"\nsecrets = [{ env = "BAD" }]\n[source.hmac]\nheader = "x"\nkey = "hex"', "not hexadecimal"),
        ('verify = "hmac"\nsecrets = [{ env = "BAD" }]\n[source.hmac]\nheader = "x"\nsigned = "{id}"',
         '9 source["shop"].hmac.signed: expected {body}'),
        (STANDARD + '[source.hmac]\nheader = "x"', 'hmac: goes with verify = "hmac"'),
        ('verify = "basic"\nsecrets = [{ env = "BAD" }]', "user: expected the name of a user"),
        ('verify = "mtls"', "the key clients is missing"),
        ('verify = "mtls"\nclients = ["shop.example.com"]', "set client_ca"),
        (STANDARD + "max_body_kb = 9000", "max_body_kb: expected at most 8192"),
        (STANDARD + 'zone = "Mars/North"', "zone: expected a time zone"),
        (STANDARD + 'delivery_id = "headers.authorization"', "delivery_id: it may carry a credential"),
        (STANDARD + '[[source.event]]\n[[source.event]]\nentity = "order"\nid = "body.id"\nchange = "changed"',
         '8 source["shop"].event[1]: the key version is missing'),
        (STANDARD + '[[source.event]]\nfields = { a = "b.c" }', '8 source["shop"].event[0].fields.a: expected a path'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, source: str, says: str) -> None:
    """One sentence each, and the value is never shown."""
    assert any(says in one for one in problems(tmp_path, source)), problems(tmp_path, source)


def test_the_name_is_a_part_of_the_address(tmp_path: Path) -> None:
    """So it holds nothing that a URL would spell otherwise."""
    (said,) = problems(tmp_path, STANDARD, name="my shop")
    assert "a part of the address that senders post to" in said


@pytest.mark.parametrize("listen", ["8791", "localhost", "127.0.0.1:99999", "::1:80", ""])
def test_where_to_listen_is_an_address_and_a_port(tmp_path: Path, listen: str) -> None:
    """What is neither is said before anything runs."""
    (said,) = problems(tmp_path, STANDARD, f'[ingress]\nlisten = "{listen}"')
    assert "ingress.listen:" in said


def test_what_is_unwise_is_said(tmp_path: Path) -> None:
    """Plain text from other machines, short keys, signatures without a time."""
    out = '[ingress]\nlisten = "0.0.0.0:8791"'
    assert "webhooks come in unencrypted" in warnings(tmp_path, STANDARD, out)[0]
    bearer = 'verify = "bearer"\nsecrets = [{ env = "TOKEN" }]'
    assert "learns the tokens and passwords" in warnings(tmp_path, bearer, out)[0]
    assert warnings(tmp_path, STANDARD, '[ingress]\nlisten = "[::1]:8791"') == []
    assert "has 14 bytes" in problems(tmp_path, 'verify = "standard"\nsecrets = [{ env = "WEAK" }]')[0]
    hub = 'verify = "hmac"\nsecrets = [{ env = "GOOD" }]\n[source.hmac]\nheader = "x-sig"\nalgorithm = "sha1"'
    assert [one.split(": ")[0] for one in warnings(tmp_path, hub)] == [
        '7 source["shop"].hmac.timestamp_header', '9 source["shop"].hmac.algorithm',
    ]  # fmt: skip


def test_with_certificates_there_is_nothing_to_say(tmp_path: Path) -> None:
    """Mutual TLS beyond this machine."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("door", "door.example.com")
    tls = f'tls = {{ cert = "{cert}", key = "{key}", client_ca = "{authority.path}" }}'
    ingress = f'[ingress]\nlisten = "0.0.0.0:8791"\n{tls}'
    assert warnings(tmp_path, 'verify = "mtls"\nclients = ["shop.example.com"]', ingress) == []


def test_a_door_without_a_source_is_said(tmp_path: Path) -> None:
    """Somebody expects something that does not happen."""
    (said,) = warnings(tmp_path, STANDARD + "retired = true", '[ingress]\nlisten = "127.0.0.1:0"')
    assert said == "1 ingress: has no effect: no source takes webhooks"


def test_a_source_that_cannot_be_read_may_be_one_that_takes_webhooks(tmp_path: Path) -> None:
    """Its own mistake is reported, and no second one that is none."""
    with pytest.raises(ConfigErrors) as caught:
        loaded(tmp_path, 'verify = "standard"\nsecrets = [{ env = "NOT_SET" }]\n', '[ingress]\nlisten = "127.0.0.1:0"')
    assert [one.line for one in caught.value.problems] == [7]
    assert list(caught.value.warnings) == []
