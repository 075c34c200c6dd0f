"""Fetches one file from an address that is not trusted, within limits."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urljoin, urlsplit

import aiohttp

from .errors import SourceError
from .redaction import without_secrets
from .waiting import within

_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_HEADERS = {
    "Accept": "image/jpeg, image/png, image/webp, image/gif",
    "Accept-Encoding": "identity",
    "User-Agent": "livekit-vision-agent",
}


async def fetch(
    url: str,
    *,
    max_bytes: int = 10_000_000,
    timeout_s: float = 10.0,
    max_redirects: int = 3,
    allow_private: bool = False,
) -> bytes:
    """Fetch the bytes behind an address.

    We check whether a host is public on the address of each connection, at the moment it is opened. So a
    name that resolves differently the second time, a redirect, or an IPv4 address written as IPv6 can't
    bypass the check. Proxy settings and netrc of the environment are not used.

    Args:
        url: ``http://`` or ``https://``.
        max_bytes: Most bytes, declared or received.
        timeout_s: Longest time for all requests together, in seconds.
        max_redirects: Most redirects that are followed.
        allow_private: Whether to fetch from loopback, private, link-local and other special addresses.

    Raises:
        SourceError: It can't be fetched within the limits; one line that names the address.
    """
    try:
        return await within(timeout_s, _fetch(url, max_bytes, max_redirects, allow_private))
    except asyncio.TimeoutError as error:
        raise SourceError(f"{without_secrets(url)}: not there within {timeout_s:g} s") from error


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to a host of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


async def _fetch(url: str, max_bytes: int, max_redirects: int, allow_private: bool) -> bytes:
    refused: list[str] = []

    def open_socket(where: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = where
        if not allow_private and not is_public(str(address[0])):
            refused.append(str(address[0]))
            raise PermissionError(f"{address[0]} is not a public address")
        return socket.socket(family=family, type=kind, proto=protocol)

    connector = aiohttp.TCPConnector(socket_factory=open_socket)
    async with aiohttp.ClientSession(
        connector=connector, headers=_HEADERS, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        try:
            for _ in range(max_redirects + 1):
                if urlsplit(url).scheme not in ("http", "https"):
                    raise SourceError(f"{without_secrets(url)}: only http:// and https:// are fetched")
                async with session.get(url, allow_redirects=False) as response:
                    if response.status in _REDIRECTS and "Location" in response.headers:
                        url = urljoin(url, response.headers["Location"])
                        continue
                    return await _body(response, url, max_bytes)
        except (aiohttp.ClientError, ValueError) as error:
            if refused:
                reason = f"{refused[-1]} is not a public address; set allow_private = true to fetch from it"
                raise SourceError(f"{without_secrets(url)}: {reason}") from error
            raise SourceError(f"{without_secrets(url)}: {_reason(error)}") from None  # hides the query
    raise SourceError(f"{without_secrets(url)}: more than {max_redirects} redirects")


async def _body(response: aiohttp.ClientResponse, url: str, max_bytes: int) -> bytes:
    if response.status != 200:
        raise SourceError(f"{without_secrets(url)}: the server answered {response.status}")
    if (response.content_length or 0) > max_bytes:
        raise SourceError(
            f"{without_secrets(url)}: {response.content_length} bytes, at most {max_bytes} are accepted"
        )
    data = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        data += chunk
        if len(data) > max_bytes:
            raise SourceError(f"{without_secrets(url)}: more than {max_bytes} bytes")
    return bytes(data)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "can't connect"
    if isinstance(error, aiohttp.ClientResponseError):
        return "it answers, but not as a web server"  # the error's own text contains the whole address
    if isinstance(error, ValueError):  # aiohttp also raises it for an address that it can't read
        return "not an address"
    return (str(error).splitlines() or ["the connection was lost"])[0]
