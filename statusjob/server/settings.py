"""
Settings: what an operator may say, and where from.

Option, else environment, else C{.env} in the working directory, else default;
each value is checked once, here. Pure: who parses the command line is
L{statusjob.server.tap}.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


class BadSetting(ValueError):
    """A setting cannot be used; the message is one line that says which and why."""


@dataclass(frozen=True)
class Setting:
    """
    One setting.

    @ivar option: its name on the command line, and
    @ivar variable: in the environment and in C{.env}.
    @ivar default: as an operator would write it; C{None} for none.
    @ivar read: makes a value of the text, or raises C{ValueError} that says what is wanted.
    @ivar kind: C{value}, C{flag} (given or not) or C{list} (repeatable).
    """

    option: str
    variable: str
    default: str | None
    read: Callable[[str], Any]
    help: str
    kind: str = "value"

    @property
    def attribute(self) -> str:
        """Its name in L{Settings}."""
        return self.option.replace("-", "_")


def _number(low: float, high: float, unit: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"wants a number of {unit} from {low:g} to {high:g}")
        return value

    return read


def _count(most: int, things: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        # An absurd number of digits is not even converted.
        if not text.isascii() or not text.isdigit() or int(text[:9]) > most or len(text) > 9:
            raise ValueError(f"wants a number of {things} from 0 to {most}")
        return int(text)

    return read


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError("wants a port from 0 to 65535")
    return int(text)


def _milliseconds(text: str) -> float:
    return _number(0, 1e12, "milliseconds")(text) / 1000


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _tokens(text: str) -> tuple[str, ...]:
    tokens = tuple(each.strip() for each in text.split(",") if each.strip())
    unfit = [t for t in tokens if not t.isascii() or not t.isprintable() or " " in t]
    if unfit or not tokens:
        raise ValueError("wants tokens of printable ASCII without spaces")
    return tokens


def _flag(text: str) -> bool:
    value = {"1": True, "true": True, "yes": True, "on": True}.get(text.lower())
    if value is None and text.lower() not in ("", "0", "false", "no", "off"):
        raise ValueError("wants on or off")
    return bool(value)


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    absolute = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    if not absolute or " " in text or not text.isprintable():
        raise ValueError("wants an absolute http or https URL")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("wants a URL without user, query and fragment")
    return text.rstrip("/")


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(
            ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip()
        )
    except ValueError as error:
        raise ValueError(f"wants networks such as 10.0.0.0/8: {error}") from None


def _schedule(text: str) -> tuple[float, ...]:
    read = _number(0, 31_536_000, "seconds")
    schedule = tuple(read(each) for each in text.split(","))
    if schedule[0] != 0:
        raise ValueError("wants to begin with 0: the first attempt is made at once")
    return schedule


def _database(text: str) -> str:
    if text.startswith(("postgres:", "postgresql:")):
        raise ValueError("PostgreSQL is not supported yet; give the path of a file")
    if not text:
        raise ValueError("wants a path, or :memory:")
    return text


SETTINGS: Sequence[Setting] = (
    Setting("port", "PORT", "8080", _port, "where to listen"),
    Setting(
        "status-delay",
        "STATUS_DELAY",
        "15000",
        _milliseconds,
        "milliseconds that simulated jobs take",
    ),
    Setting(
        "error-rate",
        "STATUSJOB_ERROR_RATE",
        "0.2",
        _number(0, 1, "errors a job"),
        "probability that a simulated job fails",
    ),
    Setting(
        "endpoint",
        "STATUSJOB_ENDPOINT",
        None,
        _words,
        "Twisted endpoint to listen on instead of the port; may be repeated",
        kind="list",
    ),
    Setting(
        "database",
        "STATUSJOB_DATABASE",
        "statusjob.sqlite",
        _database,
        "path of the SQLite file, or :memory:",
    ),
    Setting(
        "token",
        "STATUSJOB_TOKEN",
        None,
        _tokens,
        "tokens that open the server, comma-separated; better passed by environment or file",
    ),
    Setting(
        "private",
        "STATUSJOB_PRIVATE",
        None,
        _flag,
        "watching a job needs a token, too",
        kind="flag",
    ),
    Setting(
        "public-url", "STATUSJOB_PUBLIC_URL", None, _public_url, "how clients reach the server"
    ),
    Setting(
        "allow-net",
        "STATUSJOB_ALLOW_NET",
        None,
        _networks,
        "network, not public, to which webhooks may go; may be repeated",
        kind="list",
    ),
    Setting(
        "retry-schedule",
        "STATUSJOB_RETRY_SCHEDULE",
        "0,5,30,120,600,3600,21600,86400",
        _schedule,
        "seconds before each attempt of a delivery",
    ),
    Setting(
        "retention",
        "STATUSJOB_RETENTION",
        "604800",
        _number(0, 1e10, "seconds"),
        "seconds for which finished jobs are kept",
    ),
    Setting(
        "max-watchers",
        "STATUSJOB_MAX_WATCHERS",
        "20000",
        _count(20_000, "watchers"),
        "most requests that wait and streams, at the same time",
    ),
    Setting(
        "max-job-watchers",
        "STATUSJOB_MAX_JOB_WATCHERS",
        "1000",
        _count(20_000, "watchers"),
        "most of them for one job, or one kind, or all jobs",
    ),
    Setting(
        "drain",
        "STATUSJOB_DRAIN",
        "10",
        _number(0, 3600, "seconds"),
        "seconds that requests in flight get when the server stops",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    What a server runs with. Durations are seconds.

    @ivar endpoint: Twisted endpoint strings; empty for the defaults on C{port}.
    @ivar token: tokens, each of which opens everything; empty for none.
    """

    port: int
    status_delay: float
    error_rate: float
    endpoint: tuple[str, ...]
    database: str
    token: tuple[str, ...]
    private: bool
    public_url: str | None
    allow_net: tuple[Network, ...]
    retry_schedule: tuple[float, ...]
    retention: float
    max_watchers: int
    max_job_watchers: int
    drain: float

    def __repr__(self) -> str:
        return f"<Settings port={self.port} database={self.database!r}>"

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """
        Networks, not public, to which webhooks may go: without a token also this machine's own.
        """
        return self.allow_net if self.token else (*_LOOPBACK, *self.allow_net)

    @property
    def prefix(self) -> str:
        """The path of the public URL, without a slash at its end."""
        return "" if self.public_url is None else urlsplit(self.public_url).path


def resolve(
    options: Mapping[str, Any], environment: Mapping[str, str], dotenv: Mapping[str, str | None]
) -> Settings:
    """
    Make settings of what was said.

    @param options: by option name; C{None} (or an empty list) where none was given.
    @param environment: variables, which an option overrides.
    @param dotenv: the content of C{.env}, which a variable overrides.
    @raise BadSetting: if any of it cannot be used.
    """
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        given = options.get(setting.option)
        if setting.kind == "flag":
            given = "on" if given else None
        texts = [given] if isinstance(given, str) else given or []
        said = [(f"--{setting.option}", text) for text in texts]
        # A variable that is empty is one that is not set.
        text = environment.get(setting.variable) or dotenv.get(setting.variable)
        if not said and text:
            said = [(setting.variable, text)]
        if not said and setting.default is not None:
            said = [(setting.option, setting.default)]
        read = [_read(setting, name, text) for name, text in said]
        if setting.kind == "list":
            values[setting.attribute] = tuple(item for each in read for item in each)
        elif read:
            values[setting.attribute] = read[0]
        else:
            values[setting.attribute] = {"token": (), "private": False}.get(setting.option)
    settings = Settings(**values)
    if settings.private and not settings.token:
        raise BadSetting("--private needs a token: set STATUSJOB_TOKEN")
    return settings


def _read(setting: Setting, name: str, text: str) -> Any:
    try:
        return setting.read(text)
    except ValueError as error:
        shown = "" if setting.option == "token" else f" {text!r}"
        raise BadSetting(f"{name}{shown}: {error}") from None
