"""
The intermediaries: their programs, their configuration, and what their access logs tell.

Each is configured once as plainly as an operator begins (C{plain/}), and once with the file of
C{examples/deploy/}, both inside of what Debian's own configuration has around them. Only ports,
names, paths and the format of the log are replaced.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import ClassVar, NamedTuple

HERE = Path(__file__).parent
DEPLOY = HERE.parents[2] / "examples/deploy"
#: The name for which there is a certificate.
HOST = "localhost"
#: Seconds in which a program must end that was asked to.
PATIENCE = 10.0

# HAProxy logs whole URLs of requests that came by HTTP/2.
_LOGGED = re.compile(
    r'^"([A-Z]+) (?:https?://[^/ ]*)?(/\S*) HTTP/[0-9.]+" (-?[0-9]+)', re.MULTILINE
)


class Logged(NamedTuple):
    """One line of an access log."""

    method: str
    path: str
    code: int


class Intermediary(ABC):
    """
    One program in front of the server at one port of this machine.

    @cvar name: the name of the program.
    @cvar prompt: whether it lets watchers see every state at once.
    @cvar reload_signal: makes it read its configuration again; C{None} if it cannot.
    @ivar upstream: the port of the server.
    @ivar url: where clients reach it.
    """

    name: ClassVar[str]
    prompt: ClassVar[bool] = True
    reload_signal: ClassVar[signal.Signals | None] = None

    def __init__(self, directory: Path, *, recommended: bool) -> None:
        """
        @param directory: an empty directory for its files. Beside it are C{certificate.pem},
            C{key.pem} and C{both.pem} for L{HOST}.
        @param recommended: whether to use the file of C{examples/deploy/}.
        """
        self.directory = directory
        self.recommended = recommended
        self.upstream = free_port()
        self.port = free_port()
        self.url = f"{'https' if recommended else 'http'}://{HOST}:{self.port}"
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program. Who runs the bench as root runs it as nobody."""
        self._configure(routed=True)
        user: dict[str, object] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
        # The program opens the file once more; both then write at its end.
        with self._log.open("ab") as log:
            self._log.chmod(0o666)
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **user,  # type: ignore[call-overload]
            )

    @property
    def holds(self) -> bool:
        """Whether it holds requests while the server is away, instead of answering for it."""
        return False

    def accepts(self) -> bool:
        """
        Whether it accepts connections.

        @raise AssertionError: if it has ended.
        """
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended:\n{self._log.read_text()}"
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End the program."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def reload(self, *, routed: bool) -> None:
        """
        Let the program read its configuration again.

        @param routed: whether it still sends requests to the server.
        """
        assert self._process is not None and self.reload_signal is not None
        self._configure(routed=routed)
        self._process.send_signal(self.reload_signal)

    def logged(self, job: str) -> list[Logged]:
        """What it has answered to requests about a job, for itself or for the server."""
        lines = _LOGGED.findall(self._log.read_text(errors="replace"))
        return [
            Logged(method, path, int(code))
            for method, path, code in lines
            if path.startswith(f"/jobs/{job}")
        ]

    def _configure(self, *, routed: bool) -> None:
        (self.directory / "configuration").write_text(self._configuration(routed=routed))

    def _file(self, name: str, replaced: Mapping[str, str]) -> str:
        """The file of this kind of configuration, with what must be different here replaced."""
        text = ((DEPLOY if self.recommended else HERE / "plain") / name).read_text()
        certificates = self.directory.parent
        shown = {
            "/etc/ssl/jobs.example.com.key": f"{certificates}/key.pem",
            "jobs.example.com": HOST,
        }
        for old, new in {**replaced, **shown}.items():
            assert old in text or old in shown, (name, old)
            text = text.replace(old, new)
        return text

    @abstractmethod
    def _command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def _configuration(self, *, routed: bool) -> str:
        """The whole configuration."""


class Nginx(Intermediary):
    """nginx."""

    name = "nginx"
    reload_signal: ClassVar[signal.Signals | None] = signal.SIGHUP

    def _command(self) -> list[str]:
        configuration = str(self.directory / "configuration")
        return [program("nginx"), "-e", "stderr", "-c", configuration, "-p", str(self.directory)]

    def _configuration(self, *, routed: bool) -> str:
        here = self.directory
        paths = "".join(
            f"{name}_temp_path {here}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        certificate = f"{here.parent}/certificate.pem"
        if self.recommended:
            ours = self._file(
                "nginx.conf",
                {
                    "127.0.0.1:8080": f"127.0.0.1:{self.upstream}",
                    "listen 443 ": f"listen 127.0.0.1:{self.port} ",
                    "/etc/ssl/jobs.example.com.pem": certificate,
                },
            )
        else:
            ours = self._file(
                "nginx.conf",
                {"localhost:8080": "localhost", "listen 80;": f"listen {self.port};"},
            )
            # To nginx a name with two addresses is two servers, as localhost is on most machines.
            ours += (
                f"upstream localhost {{ server 127.0.0.1:{self.upstream};"
                f" server [::1]:{self.upstream}; }}\n"
            )
        if not routed:
            ours = f"server {{ listen {self.port}; root {here}/none; }}"
        return (
            f"daemon off; worker_processes 1; pid {here}/nginx.pid;\n"
            f"error_log stderr warn;\nevents {{}}\n"
            f"http {{ log_format ours '\"$request\" $status';\naccess_log {here}/log ours;\n"
            f"gzip on;\n{paths}{ours}}}\n"
        )


class TwoNginx(Nginx):
    """Two plain nginx in a row: the outer one is not told not to buffer."""

    name = "nginx, twice"
    prompt = False
    reload_signal = None

    def _configuration(self, *, routed: bool) -> str:
        inner = free_port()
        text = super()._configuration(routed=routed).removesuffix("}\n")
        text = text.replace(f"listen {self.port};", f"listen 127.0.0.1:{inner}; access_log off;")
        return (
            f"{text}server {{ listen {self.port};"
            f" location / {{ proxy_pass http://127.0.0.1:{inner}; }} }}\n}}\n"
        )


class ImpatientNginx(Nginx):
    """A plain nginx that waits for no answer, and for nothing more of one, for longer than 3 s."""

    name = "nginx, impatient"

    def _configuration(self, *, routed: bool) -> str:
        text = super()._configuration(routed=routed)
        # One address: of two, nginx would ask neither for 10 s after each was late once.
        text = text.replace(f" server [::1]:{self.upstream};", "")
        return text.replace("proxy_pass ", "proxy_read_timeout 3s; proxy_pass ")


class CachingNginx(Nginx):
    """
    A plain nginx that caches what it may, and that the server was away, for 10 s.

    It does not pass C{If-None-Match} on, so that what should be answered at once is held.
    """

    name = "nginx, caching"
    prompt = False

    def _configuration(self, *, routed: bool) -> str:
        text = super()._configuration(routed=routed)
        return text.replace(
            "server {", f"proxy_cache_path {self.directory}/cache keys_zone=ours:1m; server {{", 1
        ).replace("proxy_pass ", "proxy_cache ours; proxy_cache_valid any 10s; proxy_pass ")


class HAProxy(Intermediary):
    """HAProxy."""

    name = "HAProxy"

    @property
    def holds(self) -> bool:
        return self.recommended

    def _command(self) -> list[str]:
        return [program("haproxy"), "-db", "-f", str(self.directory / "configuration")]

    def _configuration(self, *, routed: bool) -> str:
        replaced = {"127.0.0.1:8080": f"127.0.0.1:{self.upstream}"}
        if self.recommended:
            replaced["/etc/ssl/jobs.example.com.pem"] = f"{self.directory.parent}/both.pem"
            replaced["bind :443 "] = f"bind 127.0.0.1:{self.port} "
        else:
            replaced["bind :80"] = f"bind 127.0.0.1:{self.port}"
        return (
            "global\n    log stdout format raw local0\n"
            "defaults\n    log global\n    mode http\n    option dontlognull\n"
            '    log-format "\\"%HM %HU %HV\\" %ST"\n'
            "    timeout connect 5000\n    timeout client 50000\n    timeout server 50000\n"
            + self._file("haproxy.cfg", replaced)
        )


class Apache(Intermediary):
    """Apache httpd."""

    name = "Apache"
    reload_signal = signal.SIGUSR1

    def _command(self) -> list[str]:
        configuration = str(self.directory / "configuration")
        return [program("apache2"), "-D", "FOREGROUND", "-f", configuration]

    def _configuration(self, *, routed: bool) -> str:
        here = self.directory
        modules = "".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
            for name in (
                *("mpm_event", "authz_core", "env", "filter", "deflate", "reqtimeout"),
                *("proxy", "proxy_http", "socache_shmcb", "ssl", "http2"),
            )
        )
        replaced = {"http://127.0.0.1:8080/": f"http://127.0.0.1:{self.upstream}/"}
        if self.recommended:
            replaced["*:443>"] = f"127.0.0.1:{self.port}>"
            replaced["/etc/ssl/jobs.example.com.pem"] = f"{here.parent}/certificate.pem"
        else:
            replaced["*:80>"] = f"127.0.0.1:{self.port}>"
        return (
            f"{modules}ServerRoot {here}\nServerName {HOST}\nDefaultRuntimeDir {here}\n"
            f"PidFile {here}/httpd.pid\nListen 127.0.0.1:{self.port}\nErrorLog {here}/log\n"
            f"DocumentRoot {here}\nStartServers 1\n"
            f'LogFormat "\\"%r\\" %>s" ours\nCustomLog {here}/log ours\n'
            + (self._file("apache.conf", replaced) if routed else "")
        )


def program(name: str) -> str:
    """
    The path of a program.

    @raise FileNotFoundError: if it is not installed.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path


def free_port() -> int:
    """A port that is free on both loopback addresses."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
            port: int = first.getsockname()[1]
            try:
                stack.enter_context(
                    closing(socket.create_server(("::1", port), family=socket.AF_INET6))
                )
            except OSError:
                continue
            return port
