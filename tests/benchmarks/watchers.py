"""
What watchers cost: memory for each that is held, and how soon all of them know of a change.

    python -m tests.benchmarks.watchers

A server in a process of its own on a file; this process holds the other ends. Held are 2,000
long-polls, then 2,000 streams; then 1,000 of each watch one job that changes.
"""

from __future__ import annotations

import http.client
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HELD = 2_000
#: As many as may watch one job.
CROWD = 1_000
ROUNDS = 5
PORT = 8153
LAG_PAUSE = 0.002

STREAM = "GET {job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
LONG_POLL = (
    'GET {job} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "{version}"\r\n'
    "Prefer: wait=50\r\n\r\n"
)


@contextmanager
def server(directory: str) -> Iterator[int]:
    """A server; its process id."""
    environment = {**os.environ, "PORT": str(PORT), "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(
        [sys.executable, "-m", "twisted", "statusjob"],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://localhost:{PORT}/healthz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def memory(pid: int) -> int:
    """What a process has in memory, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def ask(method: str, path: str, body: object = None) -> dict[str, object]:
    """The JSON of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    headers = {"Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def new_job() -> str:
    """The path of a new job."""
    return f"/jobs/{ask('POST', '/jobs', {})['id']}"


def hold(count: int, requests: list[str], greeting: bytes) -> list[socket.socket]:
    """
    Open connections, each with one of these requests in turn.

    @param greeting: what comes at once on each.
    """
    connections = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", PORT))
        connection.sendall(requests[number % len(requests)].encode())
        received = b""
        while greeting not in received:
            received += connection.recv(65536)
        connections.append(connection)
    return connections


def close(connections: list[socket.socket]) -> None:
    """Abandon them all, and give the server time to notice."""
    for connection in connections:
        connection.close()
    time.sleep(1)


def all_read(connections: list[socket.socket], word: bytes) -> float:
    """When the last one has received C{word}."""
    with selectors.DefaultSelector() as selector:
        received = dict.fromkeys(connections, b"")
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ, connection)
        while received:
            for key, _ in selector.select(timeout=20):
                connection = key.data
                received[connection] += connection.recv(65536)
                if word in received[connection]:
                    del received[connection]
                    selector.unregister(connection)
    return time.perf_counter()


class Lag(threading.Thread):
    """Asks for C{/healthz} all the while: the longest answer shows for how long others waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.over = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
        while not self.over.is_set():
            began = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.waits.append(time.perf_counter() - began)
            time.sleep(LAG_PAUSE)
        connection.close()


def held_memory(pid: int) -> None:
    """Print what is held for each."""
    jobs = [new_job() for _ in range(HELD)]
    for name, request, greeting in (
        ("long-poll", LONG_POLL, b""),
        ("stream", STREAM, b"job.progress"),
    ):
        requests = [request.format(job=job, version=1) for job in jobs]
        # Whatever the first ones need once is there afterwards.
        close(hold(50, requests, greeting))
        before = memory(pid)
        connections = hold(HELD, requests, greeting)
        time.sleep(1)
        print(f"{name}: {(memory(pid) - before) / HELD:.2f} KiB each, {HELD} held", flush=True)
        close(connections)


def crowd() -> None:
    """Print how soon all who watch one job know of a change, and how long others wait."""
    job = new_job()
    times: dict[str, list[float]] = {"long-poll": [], "stream": []}
    lags: dict[str, list[float]] = {"long-poll": [], "stream": []}
    for name in times:
        connections: list[socket.socket] = []
        for number in range(ROUNDS):
            version = ask("GET", job)["version"]
            if name == "long-poll":
                connections = hold(CROWD, [LONG_POLL.format(job=job, version=version)], b"")
            elif not connections:
                connections = hold(CROWD, [STREAM.format(job=job)], b"job.progress")
            time.sleep(0.5)
            lag = Lag()
            lag.start()
            time.sleep(0.2)
            word = f"{name} {number}"
            began = time.perf_counter()
            ask("PATCH", job, {"message": word})
            times[name].append(all_read(connections, word.encode()) - began)
            lag.over.set()
            lag.join()
            lags[name].append(max(lag.waits))
            if name == "long-poll":
                close(connections)
        if name == "stream":
            close(connections)
        print(
            f"{CROWD} of {name} on one job: all know after"
            f" {statistics.median(times[name]) * 1e3:.0f} ms (median of {ROUNDS});"
            f" others waited at most {statistics.median(lags[name]) * 1e3:.1f} ms",
            flush=True,
        )


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as directory, server(directory) as pid:
        held_memory(pid)
        crowd()


if __name__ == "__main__":
    main()
