"""
The kinds of receivers that L{tests.soak.receivers} delivers to, and how they are installed.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet import ssl

from statusjob.testing import self_signed_options
from statusjob.tls import TLSPolicy

APPS = Path(__file__).with_name("receiver_apps")
PACKAGES = (
    *("gunicorn", "uvicorn", "hypercorn", "waitress", "cheroot"),
    *("flask", "django", "aiohttp"),
)

#: Makes the commands that run a receiver, given the port of each. They start in this order, and
#: the last one is the one that is restarted.
Commands = Callable[["Place", Sequence[int]], Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Kind:
    """
    A sort of receiver.

    @ivar reload: the signal by which it reloads; it is ended and started otherwise.
    @ivar tls: whether it speaks TLS.
    @ivar needs: the program of this machine that it needs.
    """

    name: str
    commands: Commands
    reload: signal.Signals | None = None
    tls: bool = False
    needs: str = ""


class Place:
    """The directory where everything is installed, and the files that the servers need."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = str(directory / "venv/bin/python")
        self.key, self.certificate = directory / "key.pem", directory / "certificate.pem"
        options: Any = self_signed_options("127.0.0.1")
        pem = options.certificate.public_bytes(Encoding.PEM)
        self.certificate.write_bytes(pem)
        self.key.write_bytes(
            options.privateKey.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            )
        )
        self.policy = TLSPolicy(ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pem)]))

    def install(self) -> None:
        """Install the servers."""
        venv.create(self.directory / "venv", with_pip=True)
        subprocess.run([self.python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        if shutil.which("npm"):
            (self.directory / "package.json").write_text("{}")
            npm = ["npm", "install", "--no-audit", "--no-fund", "--silent", "express"]
            subprocess.run(npm, cwd=self.directory, check=True)

    def write(self, name: str, text: str) -> str:
        """Write a file of configuration, and return its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def module(self, *arguments: object) -> list[str]:
        """A command that runs a module of Python."""
        return [self.python, "-m", *map(str, arguments)]


def gunicorn(*options: str) -> Commands:
    """A command that runs gunicorn."""

    def commands(place: Place, ports: Sequence[int]) -> Sequence[Sequence[str]]:
        return [place.module("gunicorn", "-b", f"127.0.0.1:{ports[0]}", *options, "apps:wsgi")]

    return commands


def uvicorn(place: Place, ports: Sequence[int], *options: str) -> Sequence[str]:
    """The command that runs uvicorn."""
    idle = "--timeout-keep-alive=1"
    return place.module("uvicorn", f"--port={ports[0]}", idle, *options, "apps:asgi")


def in_apps(name: str) -> Commands:
    """A command that runs an application that starts its own server."""
    return lambda place, ports: [[place.python, str(APPS / "apps.py"), name, str(ports[0])]]


def in_node(name: str) -> Commands:
    """A command that runs an application of node."""
    return lambda place, ports: [["node", str(APPS / "server.js"), name, str(ports[0])]]


def nginx(place: Place, ports: Sequence[int]) -> Sequence[Sequence[str]]:
    """The commands that run nginx in front of uvicorn."""
    root = place.directory
    path = place.write(
        "nginx.conf",
        f"daemon off; pid {root}/nginx.pid; error_log stderr; events {{}}"
        f" http {{ access_log off; keepalive_timeout 1s; client_body_temp_path {root}/b;"
        f" proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u;"
        f" scgi_temp_path {root}/s; server {{ listen 127.0.0.1:{ports[1]};"
        f" location / {{ proxy_pass http://127.0.0.1:{ports[0]}; }} }} }}",
    )
    return [uvicorn(place, ports), ["nginx", "-p", str(root), "-c", path]]


def haproxy(place: Place, ports: Sequence[int]) -> Sequence[Sequence[str]]:
    """The commands that run HAProxy in front of waitress."""
    path = place.write(
        "haproxy.cfg",
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
        " timeout http-keep-alive 1s\n"
        f"listen hook\n bind 127.0.0.1:{ports[1]}\n server app 127.0.0.1:{ports[0]}\n",
    )
    behind = place.module("waitress", f"--listen=127.0.0.1:{ports[0]}", "apps:wsgi")
    return [behind, ["haproxy", "-W", "-db", "-f", path]]


KINDS = (
    Kind("gunicorn sync", gunicorn("--keep-alive=1"), signal.SIGHUP),
    Kind("gunicorn gthread", gunicorn("--threads=8", "--keep-alive=1"), signal.SIGHUP),
    Kind("uvicorn", lambda place, ports: [uvicorn(place, ports)]),
    Kind(
        "uvicorn, TLS",
        lambda place, ports: [
            uvicorn(
                place,
                ports,
                f"--ssl-keyfile={place.key}",
                f"--ssl-certfile={place.certificate}",
            )
        ],
        tls=True,
    ),
    Kind(
        "hypercorn",
        lambda place, ports: [
            place.module("hypercorn", "-b", f"127.0.0.1:{ports[0]}", "--keep-alive=1", "apps:asgi")
        ],
    ),
    Kind(
        "waitress",
        lambda place, ports: [
            place.module(
                "waitress",
                f"--listen=127.0.0.1:{ports[0]}",
                "--channel-timeout=1",
                "--cleanup-interval=1",
                "apps:wsgi",
            )
        ],
    ),
    Kind(
        "cheroot",
        lambda place, ports: [
            place.module("cheroot", f"--bind=127.0.0.1:{ports[0]}", "--timeout=1", "apps:wsgi")
        ],
    ),
    Kind(
        "Flask's own",
        lambda place, ports: [
            place.module("flask", "--app=apps:flask_app", "run", f"--port={ports[0]}")
        ],
    ),
    Kind("Django's own", in_apps("django")),
    Kind("aiohttp", in_apps("aiohttp")),
    Kind("node http", in_node("http"), needs="node"),
    Kind("node express", in_node("express"), needs="node"),
    Kind("nginx", nginx, signal.SIGHUP, needs="nginx"),
    Kind("HAProxy", haproxy, signal.SIGUSR2, needs="haproxy"),
)
