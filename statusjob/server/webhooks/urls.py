"""
URLs of webhooks: which are acceptable, and the origin of each.
"""

from __future__ import annotations

import hyperlink

from statusjob.contract import urls
from statusjob.contract.codec import BadInput
from statusjob.contract.webhooks import URL_LIMIT


def parse_url(url: str) -> hyperlink.URL:
    """
    A webhook's URL in ASCII, as it is sent over the wire.

    @raise BadInput: if C{url} is not an absolute http or https URL, or is too long.
    """
    try:
        if len(url) > URL_LIMIT:
            raise urls.BadURL("it is too long")
        return urls.parse_url(url)
    except urls.BadURL:
        raise BadInput("invalid webhook URL") from None


def origin_of(url: str) -> str:
    """
    The origin of a webhook's URL: C{scheme://host:port}.

    @raise BadInput: if C{url} is not an absolute http or https URL, or is too long.
    """
    parse_url(url)
    return urls.origin_of(url)
