"""Requests to public addresses only: a server must not make this machine read from its own network.

The address is checked where the connection is made. So it also holds for redirects, and for names that resolve to another
address at each request. `ingest.allow_private_hosts` allows private addresses, e.g. for a mirror. Through a proxy the name is
resolved here and its address is checked before the request.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from xner_ray.errors import UserError

KEY = "ingest.allow_private_hosts"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_allowed: ContextVar[bool] = ContextVar("xner_private_hosts", default=False)


class PrivateAddressError(Exception):
    """A connection to a private or loopback address.

    Args:
        host: the name that was requested.
        address: the IP address.
    """

    def __init__(self, host: str, address: str):
        super().__init__(f"{host} is the private address {address}" if host != address else f"{host} is private")
        self.host, self.address = host, address

    def user_error(self, url: str) -> UserError:
        """The error for the request of a URL."""
        remedy = (
            f"set {KEY}: true (`xner corpus fetch` without a config: --allow-private-hosts) if you trust this server"
        )
        where = "" if self.host == urlsplit(url).hostname else "leads to a private address: "
        return UserError(f"{where}{self}", file=url, key=KEY, remedy=remedy)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet, and not private, loopback, link-local, reserved or multicast."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    forms: list[Any] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        forms += [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        forms += [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)] if ip in _NAT64 else []
    return all(form.is_global and not form.is_multicast for form in forms if form is not None)


def public_session(allow_private: bool) -> requests.Session:
    """A session whose connections raise PrivateAddressError for addresses that are not public.

    Args:
        allow_private: allow all addresses.
    """
    session = requests.Session()
    if not allow_private:
        for scheme in ("http://", "https://"):
            session.mount(scheme, _PublicAdapter())
    return session


class _PublicHTTPConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self.host)


class _PublicHTTPSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self.host)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPSConnection


class _PublicAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        proxies = kwargs.get("proxies") or (args[4] if len(args) > 4 else None)
        if select_proxy(request.url or "", proxies):
            _check_name(urlsplit(request.url or "").hostname or "")
        return super().send(request, *args, **kwargs)


def _checked(connection: socket.socket, host: str) -> socket.socket:
    address = connection.getpeername()[0]
    if not is_public(address):
        connection.close()
        raise PrivateAddressError(host, address)
    return connection


def _check_name(host: str) -> None:
    """Check a name that a proxy resolves. A name that only the proxy knows passes."""
    with contextlib.suppress(OSError):
        for *_, address in socket.getaddrinfo(host, None):
            if not is_public(str(address[0])):
                raise PrivateAddressError(host, str(address[0]))


def allow_private_hosts(allow: bool) -> None:
    """Decide for this thread whether URLs that `remote_options` is called for may lead to private addresses."""
    _allowed.set(allow)


def remote_options(url: str) -> dict[str, dict[str, Any]]:
    """Options of `fsspec.open` for a URL, so that its HTTP connections go to public addresses only."""
    if _allowed.get():
        return {}
    return {scheme: {"get_client": _public_client} for scheme in set(re.findall(r"(?:^|::)(https?)://", url))}


async def _public_client(**options: Any) -> Any:
    import aiohttp

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=_public_socket), **options)


def _public_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise PrivateAddressError(str(address[0]), str(address[0]))
    return socket.socket(family, kind, protocol)
