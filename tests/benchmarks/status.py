"""
C{GET /status} through Klein, against a minimal Klein application that answers constant bytes.

    python -m tests.benchmarks.status

Needs C{wrk} on the path. 64 kept connections, alternating rounds, each server in a process of
its own; the database is a file.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROUNDS = 5
SECONDS = 4
PORTS = {"statusjob": 8151, "minimal": 8152}

MINIMAL = """
from klein import Klein
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.server import Site

app = Klein()

@app.route("/status")
def status(request):
    request.setHeader(b"content-type", b"application/json")
    return b'{"result":"pending"}'

class Quiet(Site):
    def log(self, request):
        pass

TCP4ServerEndpoint(reactor, %d, interface="127.0.0.1").listen(Quiet(app.resource()))
reactor.run()
"""


def start(directory: str) -> list[subprocess.Popen[bytes]]:
    """Both servers."""
    environment = {
        **os.environ,
        "PORT": str(PORTS["statusjob"]),
        "STATUS_DELAY": "3600000",
        "PYTHONPATH": os.getcwd(),
    }
    commands = [
        [sys.executable, "-m", "twisted", "statusjob"],
        [sys.executable, "-c", MINIMAL % PORTS["minimal"]],
    ]
    return [
        subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=2
        )
        for command in commands
    ]


def wait(port: int) -> None:
    """Until a server answers."""
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing answers on port {port}")


def rate(port: int) -> float:
    """Answers a second."""
    said = subprocess.run(
        ["wrk", "-t1", "-c64", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/status"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if "Non-2xx" in said:
        raise SystemExit(said)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def main() -> None:
    """Print both, side by side."""
    with tempfile.TemporaryDirectory() as directory:
        servers = start(directory)
        try:
            for port in PORTS.values():
                wait(port)
                rate(port)
            rates: dict[str, list[float]] = {name: [] for name in PORTS}
            for _ in range(ROUNDS):
                for name, port in PORTS.items():
                    rates[name].append(rate(port))
                ours, minimal = rates["statusjob"][-1], rates["minimal"][-1]
                print(
                    f"statusjob {ours:7.0f}/s   minimal Klein {minimal:7.0f}/s"
                    f"   ratio {ours / minimal:.2f}",
                    flush=True,
                )
            medians = {name: statistics.median(each) for name, each in rates.items()}
            print(
                f"median: statusjob {medians['statusjob']:.0f}/s,"
                f" minimal Klein {medians['minimal']:.0f}/s,"
                f" ratio {medians['statusjob'] / medians['minimal']:.2f}"
            )
        finally:
            for server in servers:
                server.terminate()
            for server in servers:
                server.wait()


if __name__ == "__main__":
    main()
