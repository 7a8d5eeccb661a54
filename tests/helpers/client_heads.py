"""The header fields that programs send when they poll."""

from __future__ import annotations

#: What each client sends by default, besides the Host.
CLIENTS = {
    "curl": ("User-Agent: curl/7.88.1", "Accept: */*"),
    "curl --etag-compare": (
        "User-Agent: curl/7.88.1",
        "Accept: */*",
        'If-None-Match: "x.pending"',
    ),
    "requests": (
        "User-Agent: python-requests/2.34.2",
        "Accept-Encoding: gzip, deflate",
        "Accept: */*",
        "Connection: keep-alive",
    ),
    "requests with a token": (
        "User-Agent: python-requests/2.34.2",
        "Accept-Encoding: gzip, deflate",
        "Accept: */*",
        "Connection: keep-alive",
        "Authorization: Bearer secret",
    ),
    "urllib3": ("Accept-Encoding: identity", "User-Agent: python-urllib3/2.8.0"),
    "httpx": (
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        "User-Agent: python-httpx/0.28.1",
    ),
    "aiohttp": (
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        "User-Agent: Python/3.11 aiohttp/3.14.5",
    ),
    "treq": ("Accept-Encoding: gzip",),
    "axios": (
        "Accept: application/json, text/plain, */*",
        "User-Agent: axios/1.13.2",
        "Accept-Encoding: gzip, compress, deflate, br",
        "Connection: keep-alive",
    ),
    "fetch of node": (
        "connection: keep-alive",
        "accept: */*",
        "accept-language: *",
        "sec-fetch-mode: cors",
        "user-agent: node",
        "accept-encoding: gzip, deflate",
    ),
    "http of node": ("Connection: keep-alive",),
    "a page in Chromium": (
        "Connection: keep-alive",
        "Cache-Control: max-age=0",
        'If-None-Match: "x"',
        'sec-ch-ua-platform: "Linux"',
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
        " HeadlessChrome/156.0.0.0 Safari/537.36",
        'sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"',
        "sec-ch-ua-mobile: ?0",
        "Accept: */*",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Mode: cors",
        "Sec-Fetch-Dest: empty",
        "Referer: http://127.0.0.1:9755/page",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-US,en;q=0.9",
    ),
    "the address bar of Chromium": (
        "Connection: keep-alive",
        "Upgrade-Insecure-Requests: 1",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
        " HeadlessChrome/156.0.0.0 Safari/537.36",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "Sec-Fetch-Site: none",
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-User: ?1",
        "Sec-Fetch-Dest: document",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-US,en;q=0.9",
        "Cookie: theme=dark; ; odd",
    ),
    "a client that is traced": (
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Request-Id: 7",
        "Keep-Alive: timeout=5",
        "If-Modified-Since: Sat, 23 Nov 2024 18:00:00 GMT",
    ),
}
