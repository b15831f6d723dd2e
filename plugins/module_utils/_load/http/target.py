# SPDX-License-Identifier: GPL-3.0-or-later
"""Where requests go: the URL taken apart, its addresses, and TLS."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..._common.tls import trusting
from ..errors import LoadError
from ..options import Options

_IGNORE_UNEXPECTED_EOF = 0x80  # of OpenSSL 3; Python names it from 3.10 on
_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
_USER = re.compile(r"^([^/?#]*//)?[^/?#]*@")


class SocketAddress(NamedTuple):
    """What socket.socket and connect need, and how people write it."""

    family: int
    sockaddr: Any
    text: str


class Target(NamedTuple):
    """The URL taken apart. `host` and `port` are where to connect, `authority` the Host header."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str
    server_name: str
    unix_socket: str

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme in ("https", "grpcs")


def _split_address(address: str) -> tuple[str, int]:
    host, _unused, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise LoadError(f"The address {address!r} must be written as host:port.")
    return host.strip("[]"), int(port)


def shown_url(url: str) -> str:
    """The URL as it may be told: of a query only the names, since any value may be a credential."""
    place, mark, query = _USER.sub(r"\1***@", url.partition("#")[0]).partition("?")
    parts = (part.partition("=") for part in query.split("&") if part)
    return place + mark + "&".join(f"{name}=***" if equals else "***" for name, equals, _value in parts)


def parse_url(options: Options) -> Target:
    """Take the URL apart. Raises LoadError with what is wrong with it."""
    url = options.url
    shown = shown_url(url)
    if "@" in re.split("[/?#]", url.partition("//")[2] or url)[0]:
        # First of all, so that no other message shows it.
        raise LoadError("The URL carries a user name or password: give an Authorization header instead.")
    if any(c.isspace() or ord(c) < 32 or ord(c) > 126 for c in url):
        raise LoadError(f"The URL {shown!r} has spaces or characters that must be percent-encoded.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").replace("%25", "%"), parts.port
    except ValueError as error:
        raise LoadError(f"The URL {shown!r} is not valid: {error}.") from None
    if parts.scheme not in _PORTS:
        raise LoadError(f"The URL {shown!r} must begin with http://, https://, grpc:// or grpcs://.")
    if not host:
        raise LoadError(f"The URL {shown!r} names no host.")
    if port == 0:
        raise LoadError(f"The URL {shown!r} names port 0, on which nothing can listen.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connect_host, connect_port = host, port or _PORTS[parts.scheme]
    if options.address:
        connect_host, connect_port = _split_address(options.address)
    authority = re.sub(r"%25[^\]]*", "", parts.netloc)  # an address's zone means nothing to the server
    return Target(
        parts.scheme,
        connect_host,
        connect_port,
        authority,
        path,
        options.server_name or host,
        options.unix_socket,
    )


def is_literal(target: Target) -> bool:
    """Whether no name has to be resolved."""
    if target.unix_socket:
        return True
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, target.host.partition("%")[0])
            return True
        except OSError:
            continue
    return False


def resolve(target: Target) -> list[SocketAddress]:
    """All addresses of the target, in the resolver's order. Raises OSError (socket.gaierror)."""
    if target.unix_socket:
        return [SocketAddress(socket.AF_UNIX, target.unix_socket, target.unix_socket)]
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "a part of the name is empty or too long") from None
    addresses = []
    for family, _type, _proto, _name, sockaddr in found:
        host, port = str(sockaddr[0]), int(sockaddr[1])
        addresses.append(
            SocketAddress(family, sockaddr, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        )
    return addresses


def _no_password() -> str:
    raise LoadError("The client's key is encrypted: give one that needs no passphrase.")


def _check_server_name(options: Options, name: str) -> None:
    try:
        labels = name.encode("idna")
    except UnicodeError:
        labels = b""
    if not labels or name.startswith("."):
        raise LoadError(f"The server name {options.server_name or name!r} cannot be a name for TLS.")


def tls_context(options: Options, target: Target) -> ssl.SSLContext | None:
    """The TLS settings where TLS is spoken, else None. Raises LoadError for a file that cannot be used."""
    if not target.secure:
        return None
    _check_server_name(options, target.server_name)
    for path in (options.ca_file, options.client_cert, options.client_key):
        if path and not os.access(path, os.R_OK):
            raise LoadError(f"The file {path} cannot be read.")
    try:
        context = trusting(options.ca_file or None)
        if options.client_cert:
            # Without a password of its own OpenSSL would ask the terminal for one, and wait.
            context.load_cert_chain(options.client_cert, options.client_key or None, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise LoadError(f"The CA or client certificate cannot be used: {error}.") from None
    context.set_alpn_protocols(["h2" if options.grpc else "http/1.1"])
    # Python 3.9 sets this, and a body that was cut off would pass for a whole one.
    context.options &= ~_IGNORE_UNEXPECTED_EOF
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _connect(address: SocketAddress, seconds: float) -> None:
    """Connect and hang up. Raises OSError."""
    with socket.socket(address.family, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        sock.connect(address.sockaddr)


def probe(target: Target, seconds: float) -> None:
    """Connect once and hang up: no request is sent. Raises LoadError naming the cause."""
    where = target.unix_socket or f"{target.host}:{target.port}"
    try:
        addresses = resolve(target)
    except OSError as error:
        raise LoadError(f"The host {target.host!r} cannot be resolved: {error.strerror or error}.") from None
    last: OSError | None = None
    for address in addresses:
        try:
            _connect(address, seconds)
            return
        except OSError as error:
            last = error
    raise LoadError(f"Cannot connect to {where}: {last}. Is the server up, and the address right?")


def reachable_first(addresses: list[SocketAddress], seconds: float) -> list[SocketAddress]:
    """The addresses, beginning with one that takes connections, as any client would end up with.

    A name may have addresses on which nobody listens (`localhost` is also ::1), and requests must not be lost
    to the client's own choice. No request is sent.
    """
    for k, address in enumerate(addresses if len(addresses) > 1 else []):
        try:
            _connect(address, seconds)
            return addresses[k:] + addresses[:k]
        except OSError:
            continue
    return addresses
