"""
URLs of webhooks: which are acceptable, and the origin of each.
"""

from __future__ import annotations

from functools import lru_cache

import hyperlink

from statusjob.contract.codec import BadInput
from statusjob.contract.webhooks import URL_LIMIT

_DEFAULT_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=64)
def parse_url(url: str) -> hyperlink.URL:
    """
    A webhook's URL in ASCII, as it is sent over the wire.

    @raise BadInput: if C{url} is not a URL.
    """
    if len(url) > URL_LIMIT or any(c <= " " or c == "\x7f" for c in url):
        raise BadInput("invalid webhook URL")
    try:
        parsed = hyperlink.DecodedURL.from_text(url).encoded_url
        if ":" in parsed.host:
            # An IPv6 address, which must not be encoded as a name.
            return parsed.replace(host="").to_uri().replace(host=parsed.host)
        return parsed.to_uri()
    except (ValueError, TypeError):
        raise BadInput("invalid webhook URL") from None


def origin_of(url: str) -> str:
    """
    The origin of a webhook's URL: C{scheme://host:port}.

    @raise BadInput: if C{url} is not an absolute http or https URL.
    """
    parsed = parse_url(url)
    scheme = parsed.scheme.lower()
    port = _DEFAULT_PORTS.get(scheme, 0) if parsed.port is None else parsed.port
    if scheme not in _DEFAULT_PORTS or not parsed.host or not 0 < port < 65536:
        raise BadInput("invalid webhook URL")
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host.lower()
    return f"{scheme}://{host}:{port}"
