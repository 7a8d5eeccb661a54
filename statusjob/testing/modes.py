"""
Ways to misbehave, and one good way to answer.

Each function is a L{Mode<statusjob.testing.hostile.Mode>} for a C{HostileReceiver}, or, if it
takes other arguments, makes one. Endless data is sent only as fast as the other side reads it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain, cycle, repeat

from twisted.web.http import RESPONSES

from statusjob.testing.certificates import self_signed_options
from statusjob.testing.hostile import Connection, Mode

#: Seconds from one byte to the next in the dripping modes.
DRIP = 0.2
#: The bytes of the huge body, and of the unpacked gzip bomb.
HUGE = 100_000_000
BOMB = 200 * 1024 * 1024

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
_PIECE = b"x" * 65536
#: Seconds in which the other side reads what was sent, before the connection is reset.
_SEEN = 0.01


def answer(code: int, headers: Mapping[str, str] | None = None) -> Mode:
    """
    Make a mode that answers with a status code, such as 410, or 503 with a C{Retry-After}.

    @param code: the status code.
    @param headers: additional headers. They are sent as they are, well formed or not.
    """
    lines = [f"HTTP/1.1 {code} ".encode() + RESPONSES.get(code, b"")]
    lines += [f"{name}: {value}".encode() for name, value in (headers or {}).items()]
    lines += [b"Content-Length: 0", b"Connection: close", b"", b""]

    async def answering(connection: Connection) -> None:
        await connection.request()
        connection.transport.write(b"\r\n".join(lines))
        connection.transport.loseConnection()

    return answering


def redirect(url: str, code: int = 302) -> Mode:
    """
    Make a mode that answers with a redirection.

    @param url: the target.
    @param code: the status code.
    """
    return answer(code, {"Location": url})


async def healthy(connection: Connection) -> None:
    """Answers 204, as a good receiver does."""
    await connection.request()
    connection.transport.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    connection.transport.loseConnection()


async def silent(connection: Connection) -> None:
    """Reads, but never answers, not even a TLS handshake."""


async def never_read(connection: Connection) -> None:
    """Accepts the connection, but never reads a byte."""
    await connection.read_no_more()


async def never_part(connection: Connection) -> None:
    """Answers 200, then neither reads nor closes, so that a TLS connection never ends in order."""
    await connection.request()
    connection.transport.write(_HEAD + b"Content-Length: 2\r\n\r\n{}")
    await connection.read_no_more()


async def drip_headers(connection: Connection) -> None:
    """Answers 200 with endless headers, one byte per 0.2 s."""
    await connection.request()
    await _drip(connection, chain(_HEAD, cycle(b"X-Drip: drip\r\n")))


async def drip_body(connection: Connection) -> None:
    """Answers 200 with an endless body, one byte per 0.2 s."""
    await connection.request()
    connection.transport.write(_HEAD + b"\r\n")
    await _drip(connection, cycle(b"drip\n"))


async def hang_in_body(connection: Connection) -> None:
    """Answers 200, announces 100 bytes, sends 5 and falls silent."""
    await connection.request()
    connection.transport.write(_HEAD + b"Content-Length: 100\r\n\r\nbegun")


async def endless_body(connection: Connection) -> None:
    """Answers 200 with an endless body."""
    await connection.request()
    connection.transport.write(_HEAD + b"\r\n")
    await connection.flood(repeat(_PIECE))


async def huge_body(connection: Connection) -> None:
    """Answers 200 with a body of 100 MB."""
    await connection.request()
    whole, rest = divmod(HUGE, len(_PIECE))
    connection.transport.write(_HEAD + b"Content-Length: %d\r\n\r\n" % HUGE)
    await connection.flood(chain(repeat(_PIECE, whole), [_PIECE[:rest]]))
    connection.transport.loseConnection()


async def gzip_bomb(connection: Connection) -> None:
    """Answers 200 with 200 KB of gzip that unpack to 200 MB, whether gzip is accepted or not."""
    await connection.request()
    packed = _bomb()
    length = b"Content-Length: %d\r\n\r\n" % len(packed)
    connection.transport.write(_HEAD + b"Content-Encoding: gzip\r\n" + length)
    await connection.flood([packed])
    connection.transport.loseConnection()


async def endless_header(connection: Connection) -> None:
    """Answers 200 with one endless header."""
    await connection.request()
    connection.transport.write(_HEAD + b"X-Endless: ")
    await connection.flood(repeat(_PIECE))


async def endless_headers(connection: Connection) -> None:
    """Answers 200 with endlessly many short headers."""
    await connection.request()
    connection.transport.write(_HEAD)
    await connection.flood(repeat(b"X-Endless: x\r\n" * 4096))


async def endless_continue(connection: Connection) -> None:
    """Answers 100 (Continue), again and again."""
    await connection.request()
    await connection.flood(repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 2048))


async def reset(connection: Connection) -> None:
    """Reads the request and resets the connection."""
    await connection.request()
    connection.transport.abortConnection()


async def reset_in_headers(connection: Connection) -> None:
    """Answers 200 and resets the connection in the middle of the headers."""
    await connection.request()
    connection.transport.write(_HEAD)
    await connection.sleep(_SEEN)
    connection.transport.abortConnection()


async def reset_in_body(connection: Connection) -> None:
    """Answers 200, announces 100 bytes, sends 5 and resets the connection."""
    await hang_in_body(connection)
    await connection.sleep(_SEEN)
    connection.transport.abortConnection()


async def short_length(connection: Connection) -> None:
    """Answers 200 with more bytes than its Content-Length says."""
    await connection.request()
    connection.transport.write(_HEAD + b"Content-Length: 5\r\n\r\nbegun, and more than was said")
    connection.transport.loseConnection()


async def long_length(connection: Connection) -> None:
    """Answers 200 with fewer bytes than its Content-Length says."""
    await hang_in_body(connection)
    connection.transport.loseConnection()


async def bad_chunks(connection: Connection) -> None:
    """Answers 200 in chunks, the second of which is malformed."""
    await connection.request()
    chunks = b"5\r\nbegun\r\nfive\r\nnever\r\n"
    connection.transport.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)


async def absurd_code(connection: Connection) -> None:
    """Answers with a status code of 30 digits."""
    await connection.request()
    connection.transport.write(b"HTTP/1.1 " + b"2" * 30 + b" OK\r\nContent-Length: 0\r\n\r\n")


async def gibberish(connection: Connection) -> None:
    """Answers neither in HTTP nor in TLS."""
    await connection.spoken()
    connection.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def plain_http(connection: Connection) -> None:
    """Answers 204 in plain HTTP to the first bytes, even to a TLS handshake."""
    await connection.spoken()
    connection.transport.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


async def self_signed(connection: Connection) -> None:
    """Answers 204 over TLS with a self-signed certificate."""
    connection.transport.startTLS(self_signed_options("127.0.0.1"))
    await healthy(connection)


#: All modes that are coroutines, and so need no arguments.
ALL: tuple[Mode, ...] = (
    healthy,
    silent,
    never_read,
    never_part,
    drip_headers,
    drip_body,
    hang_in_body,
    endless_body,
    huge_body,
    gzip_bomb,
    endless_header,
    endless_headers,
    endless_continue,
    reset,
    reset_in_headers,
    reset_in_body,
    short_length,
    long_length,
    bad_chunks,
    absurd_code,
    gibberish,
    plain_http,
    self_signed,
)


async def _drip(connection: Connection, data: Iterable[int]) -> None:
    for byte in data:
        connection.transport.write(bytes((byte,)))
        await connection.sleep(DRIP)


@cache
def _bomb() -> bytes:
    """
    Make one gzip stream (RFC 1952) of zeros.

    After a full flush, a packed block does not depend on the blocks before it, so one block is
    packed and repeated.
    """
    block = bytes(1024 * 1024)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    blocks, checksum = BOMB // len(block), 0
    for _ in range(blocks):
        checksum = zlib.crc32(block, checksum)
    header = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    trailer = checksum.to_bytes(4, "little") + BOMB.to_bytes(4, "little")
    return header + packed * blocks + packer.flush() + trailer
