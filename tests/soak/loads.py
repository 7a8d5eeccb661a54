"""
Loads that are meant to do harm, each bounded in count and time.

    python -m tests.soak.loads NAME PORT SECONDS [ARGUMENT]

L{tests.soak.hostile_loads} runs them in a process of their own beside well-behaved clients.
They only ever connect to 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable

HOST = "127.0.0.1"
HEAD = b"Host: localhost\r\n"
#: Requests that one connection pipelines without pause.
PIPELINED = 20_000
#: Connections of each load.
PIPELINING, DRIPPING, IDLE, UNREAD, SLOW = 40, 1_000, 5_000, 300, 100
#: Jobs that are created beside the slow streams, and webhooks of the fan-out.
CREATIONS, WEBHOOKS, ORIGINS = 8_000, 1_000, 100

Load = Callable[[int, float, str], Awaitable[None]]


async def pipelining(port: int, seconds: float, _: str) -> None:
    """Pipeline requests that are answered at once, and read the answers."""

    async def connection() -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            reader, writer = await asyncio.open_connection(HOST, port)

            async def read(reader: asyncio.StreamReader = reader) -> None:
                while await reader.read(65536):
                    pass

            reading = asyncio.ensure_future(read())
            try:
                block = (b"GET /x HTTP/1.1\r\n" + HEAD + b"\r\n") * 100
                for _ in range(PIPELINED // 100):
                    writer.write(block)
                    await asyncio.wait_for(writer.drain(), max(0.1, end - _now()))
            except (OSError, TimeoutError):
                pass
            reading.cancel()
            writer.close()

    await _together(connection, PIPELINING)


async def dripping(port: int, seconds: float, _: str) -> None:
    """Send a byte of a request every second, on many connections."""

    async def connection() -> None:
        _reader, writer = await asyncio.open_connection(HOST, port)
        end = _now() + seconds
        writer.write(b"GET /status HTTP/1.1\r\n" + HEAD + b"X-Drip: ")
        while _now() < end:
            writer.write(b"x")
            await asyncio.sleep(1)
        writer.close()

    await _together(connection, DRIPPING)


async def idle(port: int, seconds: float, _: str) -> None:
    """Open connections and send nothing."""

    async def connection() -> None:
        _reader, writer = await asyncio.open_connection(HOST, port)
        await asyncio.sleep(seconds)
        writer.close()

    await _together(connection, IDLE)


async def unread(port: int, seconds: float, job: str) -> None:
    """Ask for a large job and never read the answer."""
    loop = asyncio.get_running_loop()

    async def connection() -> None:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setblocking(False)
        await loop.sock_connect(plain, (HOST, port))
        request = f"GET /jobs/{job} HTTP/1.1\r\nConnection: close\r\n".encode() + HEAD + b"\r\n"
        await loop.sock_sendall(plain, request)
        await asyncio.sleep(seconds)
        plain.close()

    await _together(connection, UNREAD)


async def slow_streams(port: int, seconds: float, _: str) -> None:
    """Follow all jobs on many streams that read a few bytes a second, and create many jobs."""

    async def follower() -> None:
        reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
        writer.write(b"GET /events HTTP/1.1\r\n" + HEAD + b"\r\n")
        end = _now() + seconds
        while _now() < end and await reader.read(64):
            await asyncio.sleep(1)
        writer.close()

    async def creator() -> None:
        await _requests(port, seconds, CREATIONS // 8, lambda _: ("POST", "/jobs", {}))

    await asyncio.gather(_together(follower, SLOW), _together(creator, 8))


async def fan_out(port: int, seconds: float, _: str) -> None:
    """Register many webhooks for one kind, and let jobs of that kind end."""

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.partition(b":")[2]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            writer.close()

    server = await asyncio.start_server(sink, "0.0.0.0", 0)
    sink_port = server.sockets[0].getsockname()[1]

    def webhook(number: int) -> tuple[str, str, object]:
        url = f"http://127.0.1.{1 + number % ORIGINS}:{sink_port}/{number}"
        return "POST", "/webhooks", {"url": url, "kind": "fan"}

    await _requests(port, 60, WEBHOOKS, webhook)
    end = _now() + seconds
    while _now() < end:
        job = await _requests(port, 5, 1, lambda _: ("POST", "/jobs", {"kind": "fan"}))
        await _requests(port, 5, 1, _completion(json.loads(job)["id"]))
        await asyncio.sleep(1)
    server.close()


def _completion(job: str) -> Callable[[int], tuple[str, str, object]]:
    return lambda _: ("PATCH", f"/jobs/{job}", {"result": "completed"})


async def _requests(
    port: int, seconds: float, count: int, request: Callable[[int], tuple[str, str, object]]
) -> bytes:
    """Make requests one after the other on one connection; the last body."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 20)
    end, body = _now() + seconds, b""
    for number in range(count):
        if _now() > end:
            break
        method, path, value = request(number)
        data = json.dumps(value).encode()
        writer.write(
            f"{method} {path} HTTP/1.1\r\n".encode()
            + HEAD
            + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data)
            + data
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(head.decode())
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
    writer.close()
    return body


async def _together(make: Callable[[], Awaitable[None]], count: int) -> None:
    """Run many at the same time; connections that the server ends are part of the load."""
    done = await asyncio.gather(*[make() for _ in range(count)], return_exceptions=True)
    failed = [each for each in done if isinstance(each, Exception)]
    unexpected = [each for each in failed if not isinstance(each, (OSError, EOFError))]
    if failed:
        print(f"{len(failed)} of {count} connections were ended, such as: {failed[0]!r}")
    if unexpected:
        raise unexpected[0]


def _now() -> float:
    return asyncio.get_running_loop().time()


LOADS: dict[str, Load] = {
    each.__name__: each for each in (pipelining, dripping, idle, unread, slow_streams, fan_out)
}

if __name__ == "__main__":
    name, port, seconds, *rest = sys.argv[1:]

    async def main() -> None:
        """Run the load, in bounded time."""
        load = LOADS[name](int(port), float(seconds), *(rest or [""]))
        await asyncio.wait_for(load, 2 * float(seconds) + 90)

    asyncio.run(main())
