"""
URLs as they are dialled and as they are compared: pure functions for both sides.
"""

from __future__ import annotations

import re
from functools import lru_cache

import hyperlink

#: Longest name of a host in ASCII, in characters.
HOST_LIMIT = 253

_DEFAULT_PORTS = {"http": 80, "https": 443}
_EMPTY_PORT = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*):(?=[/?#]|\Z)")
_ASCII_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_DOT = re.compile("[.\u3002\uff0e\uff61]")


class BadURL(ValueError):
    """A text is not an absolute URL for http or https. The message says why."""


def encode_host(host: str) -> str:
    """
    Encode the name of a host in ASCII, in lower case.

    A label of ASCII letters, digits, hyphens and underscores stays as it is: containers and
    internal networks have names that no registry of international names would accept. Others are
    encoded by IDNA (RFC 5891).

    @param host: a name, or an IPv4 address in any form. It may end with a dot.
    @raise BadURL: if it is not the name of a host.
    """
    *labels, last = _DOT.split(host)
    encoded = [_encode_label(label) for label in labels]
    if last or not labels:
        encoded.append(_encode_label(last))
    name = ".".join(encoded).lower()
    if len(name) > HOST_LIMIT:
        raise BadURL(f"the host is longer than {HOST_LIMIT} characters")
    return name if last else name + "."


def _encode_label(label: str) -> str:
    if _ASCII_LABEL.fullmatch(label):
        return label
    if not label:
        raise BadURL("the host has an empty label")
    if len(label) > 63 and label.isascii():
        raise BadURL("a label of the host is longer than 63 characters")
    try:
        return hyperlink.URL(scheme="http", host=label).to_uri().host
    except ValueError:
        raise BadURL("the host has characters that no host name may have") from None


@lru_cache(maxsize=256)
def parse_url(url: str) -> hyperlink.URL:
    """
    Read a URL, and encode in ASCII what is not: the host by L{encode_host}, everything else in
    percent-encoded UTF-8. What is escaped already stays as it is, whatever octets it stands for.

    @raise BadURL: if it is not an absolute URL for http or https.
    """
    if any(c <= " " or c == "\x7f" for c in url):
        raise BadURL("it has blanks or control characters")
    try:
        parsed = hyperlink.URL.from_text(_EMPTY_PORT.sub(r"\1", url, count=1))
        encoded = parsed.replace(scheme=parsed.scheme.lower(), host="").to_uri()
    except (ValueError, TypeError):
        raise BadURL("it is malformed") from None
    if encoded.scheme not in _DEFAULT_PORTS or not parsed.host:
        raise BadURL("it must begin with http:// or https:// and a host")
    # hyperlink knows the default port of a scheme only in lower case.
    port = _DEFAULT_PORTS[encoded.scheme] if parsed.port is None else parsed.port
    if not 0 < port < 65536:
        raise BadURL("the port is out of range")
    # An IPv6 address must not be encoded as a name.
    host = parsed.host if ":" in parsed.host else encode_host(parsed.host)
    return encoded.replace(host=host, port=port)


def origin_of(url: str) -> str:
    """
    The origin of a URL: C{scheme://host:port}.

    @raise BadURL: if C{url} is not an absolute http or https URL.
    """
    parsed = parse_url(url)
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{parsed.scheme}://{host}:{parsed.port}"


@lru_cache(maxsize=256)
def normal_form(url: str) -> str:
    """
    The form by which URLs are compared: with the port, with C{/} for an empty path, without an
    empty query, without a fragment.

    @raise BadURL: if C{url} is not an absolute http or https URL.
    """
    parsed = parse_url(url)
    rest = hyperlink.URL(path=parsed.path, query=parsed.query, rooted=True).to_text()
    user = f"{parsed.userinfo}@" if parsed.userinfo else ""
    return origin_of(url).replace("://", f"://{user}", 1) + (rest or "/")
