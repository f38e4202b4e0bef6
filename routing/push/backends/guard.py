"""Keeps requests to addresses that users register away from everything that is not public.

Two gates. `check_url` looks at the text, at registration and again before every send: one strict
grammar instead of a parser, so that no second parser can read another host out of it. The socket
factory of `connector` looks at the address that a connection is about to be made to: whatever a
name resolves to by then, and literals, which no resolver ever sees.

`HUB["PUSH_LOCAL_PEERS"]` is the one seam: with it, and only under DEBUG, loopback may be asked, by
http and on any port.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from routing.conf import conf
from routing.push.outcomes import InvalidAddress

if TYPE_CHECKING:
    import aiohttp

MAX_URL = 2048  # characters

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
#: How much of an answer is read; what is longer costs the connection.
MAX_ANSWER = 4096
#: Idle connections are closed before the providers do it under a request of ours.
KEEP_ALIVE_SECONDS = 30.0

# Characters of RFC 3986 only: no userinfo, no fragment, no backslash, no spaces, nothing outside
# ASCII (browsers give names in their IDNA form).
URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?",
    re.ASCII,
)
# A name whose last part is a number is an IPv4 literal to inet_aton: 127.1, 2130706433, 0x7f.1.
ENDS_IN_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9A-Fa-f]*)$", re.ASCII)

# Python calls some of these global. Tunnels and translators can lead anywhere.
NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF's own, and a cloud's metadata at .192
        "192.88.99.0/24",  # 6to4 relays
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2002::/16",  # 6to4
        "2001::/32",  # Teredo
        "::/96",  # IPv4-compatible, long dead
        "fec0::/10",  # site-local, long dead
        "5f00::/16",  # segment routing
    )
)


class Forbidden(OSError):
    """A connection was about to be made to an address that is not public."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL that passed leads to."""

    scheme: str
    host: str
    port: int
    #: scheme://host[:port], as VAPID's `aud` wants it.
    origin: str
    #: With the query, as it was given.
    path: str


def local_peers() -> bool:
    """Whether providers on this machine may be asked. Without DEBUG the setting has no effect."""
    return bool(settings.DEBUG) and conf().push_local_peers


def check_url(url: str, *, hosts: Sequence[str], local: bool | None = None) -> Target:
    """What the URL leads to. Raises `InvalidAddress`, whose text never quotes the URL.

    `hosts` are names that are allowed together with everything below them; "*" allows any name.
    """
    if len(url) > MAX_URL:
        raise InvalidAddress(f"the URL is longer than {MAX_URL} characters")
    found = URL.fullmatch(url)
    if found is None:
        raise InvalidAddress("the URL is not of the form https://host/path")
    scheme, host = found["scheme"], found["host"].lower()
    default = 443 if scheme == "https" else 80
    port = int(found["port"] or default)
    origin = f"{scheme}://{host}" + ("" if port == default else f":{port}")
    rest = found["rest"] or "/"
    target = Target(scheme, host, port, origin, rest if rest[0] == "/" else f"/{rest}")
    if is_loopback_name(host) and (local_peers() if local is None else local):
        return target
    if scheme != "https" or port != 443:
        raise InvalidAddress("the URL must be https on port 443")
    if host.startswith("[") or ENDS_IN_NUMBER.search(host):
        raise InvalidAddress("the URL's host is an address, not a name")
    if not host_is_allowed(host, hosts):
        raise InvalidAddress("the URL's host is not on the list of allowed hosts")
    return target


def host_is_allowed(host: str, hosts: Sequence[str]) -> bool:
    return any(name == "*" or host == name or host.endswith("." + name) for name in hosts)


def is_loopback_name(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in NEVER if network.version == found.version):
        return False
    return found.is_global and not (
        found.is_multicast or found.is_reserved or found.is_unspecified or found.is_loopback
    )


def guarded_socket(info: Any) -> socket.socket:
    """A socket for the address that is about to be connected to. Raises `Forbidden`."""
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        # Asked for each connection: a setting that was withdrawn counts at once.
        mapped = ipaddress.ip_address(address[0].partition("%")[0])
        if not (mapped.is_loopback and local_peers()):
            raise Forbidden("the address is not public")
    return socket.socket(family=family, type=kind, proto=protocol)


def connector(
    *, limit: int, limit_per_host: int, resolver: Any = None, tls: Any = None
) -> "aiohttp.TCPConnector":
    """Connections that are checked when they are made, so that the address that was checked is the
    address that is asked, whatever its name resolves to a moment later."""
    import aiohttp

    return aiohttp.TCPConnector(
        limit=limit,
        limit_per_host=limit_per_host,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        resolver=resolver,
        ssl=tls if tls is not None else True,
        socket_factory=guarded_socket,
    )


def session(
    connections: "aiohttp.TCPConnector", *, total: float = TOTAL_SECONDS
) -> "aiohttp.ClientSession":
    """A client for posts: no cookies, no proxies or passwords from the environment, bounded in
    time. Redirects are the caller's to refuse: `allow_redirects=False` on every request."""
    import aiohttp

    return aiohttp.ClientSession(
        connector=connections,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_SECONDS),
        trust_env=False,
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
    )


async def read_answer(response: "aiohttp.ClientResponse", limit: int = MAX_ANSWER) -> bytes:
    """At most the first bytes of the answer; a longer one gives up its connection."""
    found = bytearray()
    while len(found) < limit:
        part = await response.content.read(limit - len(found))
        if not part:
            return bytes(found)
        found += part
    response.close()
    return bytes(found)
