"""What a NATS connection is made of: addresses, encryption, credentials, patience. Standard library and core only.

Credentials never stay in an address: `nats://user:password@host` is taken apart here, so that addresses can be shown.
"""

from __future__ import annotations

import re
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from bridge.core.errors import BridgeError
from bridge.core.secret import Secret

_CREDS_PART = re.compile(r"-----BEGIN ([A-Z ]+)-----\s*(\S+)\s*-+END \1-+")


class NatsMisconfigured(BridgeError):
    """The connection cannot be tried at all: an address or a file is not what it should be."""


@dataclass(frozen=True, kw_only=True)
class NatsOptions:
    """How to reach NATS. Durations in seconds; TLS files in PEM.

    `urls` may hold user and password (or a token): they move to `user`, `password`, `token`. `creds` is a NATS
    credentials file, read again at every connect. `plaintext`: servers on other machines that a server announces are
    connected to also without TLS. `reconnect_wait_s` is the longest pause between two rounds of
    attempts. Raises NatsMisconfigured, never naming a secret.
    """

    urls: tuple[str, ...]
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_handshake_first: bool = False
    tls_hostname: str | None = None
    creds: Path | None = None
    nkey_seed: Secret | Path | None = None
    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    name: str = "bridged"
    inbox_prefix: str = "_INBOX"
    plaintext: bool = False
    connect_timeout_s: float = 5.0
    reconnect_wait_s: float = 5.0
    ping_interval_s: float = 10.0
    max_outstanding_pings: int = 2

    def __post_init__(self) -> None:
        if not self.urls:
            raise NatsMisconfigured("NATS: no address is configured")
        clean: list[str] = []
        found: set[tuple[str | None, str | None]] = set()
        for number, url in enumerate(self.urls, 1):
            address, user, password = _take_apart(url, f"NATS address {number}")
            clean.append(address)
            found.add((user, password))
        object.__setattr__(self, "urls", tuple(clean))
        if len(found) > 1:
            raise NatsMisconfigured("NATS: all addresses must carry the same user and password, or none of them any")
        user, password = found.pop()
        if user is not None:
            if self.user or self.password or self.token:
                raise NatsMisconfigured("NATS: credentials stand both in the address and beside it; keep one of them")
            if password is None:
                object.__setattr__(self, "token", Secret(user, "NATS address"))
            else:
                object.__setattr__(self, "user", user)
                object.__setattr__(self, "password", Secret(password, "NATS address"))
        self._check_combination()

    def _check_combination(self) -> None:
        kinds = {
            "creds": self.creds is not None,
            "nkey": self.nkey_seed is not None,
            "user": self.user is not None or self.password is not None,
            "token": self.token is not None,
        }
        given = [kind for kind, there in kinds.items() if there]
        if len(given) > 1:
            raise NatsMisconfigured(f"NATS: {' and '.join(given)} are configured together; keep one of them")
        if (self.user is None) != (self.password is None):
            raise NatsMisconfigured("NATS: user and password belong together; one of them is missing")
        if self.tls_key is not None and self.tls_cert is None:
            raise NatsMisconfigured("NATS: a TLS key is configured without its certificate")

    @property
    def encrypted(self) -> bool:
        """Whether the configuration asks for TLS: then nothing is ever sent in the clear."""
        files = self.tls_ca or self.tls_cert or self.tls_hostname
        return bool(files) or self.tls_handshake_first or any(url.startswith("tls://") for url in self.urls)

    @property
    def login(self) -> str:
        """Which credentials are presented, in words: for texts about a refusal."""
        if self.creds is not None:
            return f"the credentials file {self.creds}"
        if self.nkey_seed is not None:
            where = self.nkey_seed if isinstance(self.nkey_seed, Path) else self.nkey_seed.origin
            return f"the nkey ({where})" if where else "the nkey"
        for kind, secret in ((f"user {self.user!r} and its password", self.password), ("the token", self.token)):
            if secret is not None:
                return f"{kind} ({secret.origin})" if secret.origin else kind
        return "no credentials (none are configured)"

    def secrets(self) -> list[Secret]:
        """What must be masked in every text."""
        seed = self.nkey_seed if isinstance(self.nkey_seed, Secret) else None
        return [secret for secret in (self.password, self.token, seed) if secret]


def tls_context(options: NatsOptions) -> ssl.SSLContext:
    """A context made of the files as they are now. Raises NatsMisconfigured naming the file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=options.tls_ca)
    except (OSError, ValueError) as error:
        raise NatsMisconfigured(f"NATS: the CA file {options.tls_ca} cannot be used: {_why(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.tls_cert is not None:
        try:
            context.load_cert_chain(options.tls_cert, options.tls_key, password=_no_password)
        except (OSError, ValueError) as error:
            files = f"{options.tls_cert} and {options.tls_key}" if options.tls_key else str(options.tls_cert)
            text = f"NATS: the client certificate and key ({files}) cannot be used: {_why(error)}"
            raise NatsMisconfigured(text) from None
    return context


def read_creds(path: Path) -> tuple[str, str]:
    """The JWT and the seed of a credentials file. Raises NatsMisconfigured naming the file, never its content."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise NatsMisconfigured(f"NATS: the credentials file {path} cannot be read: {_why(error)}") from None
    parts = {match[1]: match[2] for match in _CREDS_PART.finditer(text)}
    jwt, seed = parts.get("NATS USER JWT"), parts.get("USER NKEY SEED")
    if jwt is None or seed is None:
        missing = "NATS USER JWT" if jwt is None else "USER NKEY SEED"
        raise NatsMisconfigured(f"NATS: the credentials file {path} holds no {missing!r} section")
    return jwt, seed


def read_seed(seed: Secret | Path) -> str:
    """An nkey seed, from where it is kept. Raises NatsMisconfigured naming the file."""
    if isinstance(seed, Secret):
        return seed.reveal().strip()
    try:
        return seed.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise NatsMisconfigured(f"NATS: the nkey file {seed} cannot be read: {_why(error)}") from None


def _take_apart(url: str, where: str) -> tuple[str, str | None, str | None]:
    """The address without credentials, the user (or token) and the password."""
    # The address itself is never quoted: it may hold a password, in a place where a typing error has put it.
    full = url.strip() if "://" in url else f"nats://{url.strip()}"
    try:
        parts = urllib.parse.urlsplit(full)
        host, port = parts.hostname, parts.port or 4222
    except ValueError:
        raise NatsMisconfigured(f"{where} is no address: expected nats://host:port or tls://host:port") from None
    if parts.scheme not in ("nats", "tls"):
        raise NatsMisconfigured(f"{where} does not begin with nats:// or tls://")
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        hint = "in a password, write / ? # @ as %2F %3F %23 %40"
        raise NatsMisconfigured(f"{where} is no address: expected nats://host:port or tls://host:port; {hint}")
    if ":" in host:
        host = f"[{host}]"
    user = None if parts.username is None else urllib.parse.unquote(parts.username)
    password = None if parts.password is None else urllib.parse.unquote(parts.password)
    return f"{parts.scheme}://{host}:{port}", user or None, password


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal, and wait there for ever.
    raise ValueError("the key is encrypted; only keys without a pass phrase can be used")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not valid PEM, or certificate and key do not match ({error.reason or 'OpenSSL gives no reason'})"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeError):
        return "it is not plain text"
    return str(error)
