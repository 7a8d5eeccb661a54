"""
Settings: where a value comes from, and which values are accepted.

An option wins over an environment variable, a variable over the file C{.env} in
the working directory, and the file over the default. Each value is checked once,
here. This module is pure: L{statusjob.server.tap} parses the command line.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What can be sent as a bearer token (RFC 6750 2.1).
_TOKEN = re.compile(r"\A[A-Za-z0-9._~+/-]+=*\Z")

_LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


class BadSetting(ValueError):
    """A setting cannot be used. The message is one line that names it and says what it must be."""


@dataclass(frozen=True)
class Setting:
    """
    One setting.

    @ivar option: the name of its option on the command line, without dashes.
    @ivar variable: the name of its variable in the environment and in C{.env}.
    @ivar default: the default as an operator would write it, or C{None}.
    @ivar read: makes a value of the text. It raises C{ValueError} with words that say what the
        text must be.
    @ivar help: one line of the help that the command line shows.
    @ivar kind: C{value}, C{flag} (given or not) or C{list} (may be repeated).
    """

    option: str
    variable: str
    default: str | None
    read: Callable[[str], Any]
    help: str
    kind: str = "value"

    @property
    def attribute(self) -> str:
        """The name of its attribute in L{Settings}."""
        return self.option.replace("-", "_")

    @property
    def help_text(self) -> str:
        """Its help, with its variable and its default."""
        default = "" if self.kind == "flag" else f"; default: {self.default or 'none'}"
        return f"{self.help} [{self.variable}{default}]"


def _number(low: float, high: float, meaning: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"must be {meaning} from {low:.0f} to {high:.0f}")
        return value

    return read


def _count(most: int, things: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        # An absurd number of digits is not even converted.
        if not text.isascii() or not text.isdigit() or int(text[:9]) > most or len(text) > 9:
            raise ValueError(f"must be a number of {things} from 0 to {most}")
        return int(text)

    return read


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) > 65535 or len(text) > 9:
        raise ValueError("must be a port number from 0 to 65535")
    return int(text)


def _milliseconds(text: str) -> float:
    return _number(0, 1e12, "a number of milliseconds")(text) / 1000


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _tokens(text: str) -> tuple[str, ...]:
    tokens = tuple(each.strip() for each in text.split(",") if each.strip())
    if not tokens or not all(map(_TOKEN.match, tokens)):
        raise ValueError(
            "must be tokens of letters, digits and -._~+/ (RFC 6750) without quotes, separated by"
            " commas"
        )
    return tokens


def _flag(text: str) -> bool:
    value = {"1": True, "true": True, "yes": True, "on": True}.get(text.lower())
    if value is None and text.lower() not in ("", "0", "false", "no", "off"):
        raise ValueError("must be on or off")
    return bool(value)


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    absolute = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    if not absolute or " " in text or not text.isprintable():
        raise ValueError("must be an absolute http or https URL")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must be a URL without user name, query and fragment")
    return text.rstrip("/")


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(
            ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip()
        )
    except ValueError as error:
        raise ValueError(
            f"must be networks such as 10.0.0.0/8, separated by commas: {error}"
        ) from None


def _schedule(text: str) -> tuple[float, ...]:
    read = _number(0, 31_536_000, "numbers of seconds, separated by commas, each")
    schedule = tuple(read(each) for each in text.split(","))
    if schedule[0] != 0:
        raise ValueError("must begin with 0, because the first attempt is made at once")
    return schedule


def _database(text: str) -> str:
    if text.startswith(("postgres:", "postgresql:")):
        raise ValueError("must be the path of a file: PostgreSQL is not supported yet")
    if not text:
        raise ValueError("must be the path of a file, or :memory:")
    return text


SETTINGS: Sequence[Setting] = (
    Setting("port", "PORT", "8080", _port, "port to listen on; 0 for any that is free"),
    Setting(
        "status-delay",
        "STATUS_DELAY",
        "15000",
        _milliseconds,
        "milliseconds until a simulated job ends",
    ),
    Setting(
        "error-rate",
        "STATUSJOB_ERROR_RATE",
        "0.2",
        _number(0, 1, "a probability"),
        "probability that a simulated job fails, from 0 to 1",
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
        "tokens that open the server to the network, separated by commas; other users of this"
        " machine can read options, so use the variable or the file .env",
    ),
    Setting(
        "private",
        "STATUSJOB_PRIVATE",
        None,
        _flag,
        "require a token to watch a job, too",
        kind="flag",
    ),
    Setting(
        "public-url",
        "STATUSJOB_PUBLIC_URL",
        None,
        _public_url,
        "absolute URL at which clients reach the server",
    ),
    Setting(
        "allow-net",
        "STATUSJOB_ALLOW_NET",
        None,
        _networks,
        "network to which webhooks may go although it is not public, such as 10.0.0.0/8; may be"
        " repeated",
        kind="list",
    ),
    Setting(
        "retry-schedule",
        "STATUSJOB_RETRY_SCHEDULE",
        "0,5,30,120,600,3600,21600,86400",
        _schedule,
        "seconds to wait before each attempt of a delivery, separated by commas",
    ),
    Setting(
        "retention",
        "STATUSJOB_RETENTION",
        "604800",
        _number(0, 1e10, "a number of seconds"),
        "seconds to keep a job after its end",
    ),
    Setting(
        "max-watchers",
        "STATUSJOB_MAX_WATCHERS",
        "20000",
        _count(20_000, "watchers"),
        "most long polls and streams at the same time",
    ),
    Setting(
        "max-job-watchers",
        "STATUSJOB_MAX_JOB_WATCHERS",
        "1000",
        _count(20_000, "watchers"),
        "most long polls and streams of one job, of one kind, or of all jobs",
    ),
    Setting(
        "max-webhooks",
        "STATUSJOB_MAX_WEBHOOKS",
        "100",
        _count(1_000, "webhooks"),
        "most webhooks for kinds and for all jobs together",
    ),
    Setting(
        "max-job-webhooks",
        "STATUSJOB_MAX_JOB_WEBHOOKS",
        "20",
        _count(1_000, "webhooks"),
        "most webhooks of one job",
    ),
    Setting(
        "drain",
        "STATUSJOB_DRAIN",
        "8",
        _number(0, 3600, "a number of seconds"),
        "seconds to wait for requests and deliveries in flight when the server stops",
    ),
    Setting(
        "shutdown-delay",
        "STATUSJOB_SHUTDOWN_DELAY",
        "0",
        _number(0, 3600, "a number of seconds"),
        "seconds to go on serving after the signal to stop, while /readyz already answers 503",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    The settings of one server, each as described in L{SETTINGS}. Durations are in seconds.

    @ivar endpoint: descriptions of Twisted endpoints. If there are none, the server listens on
        C{port}.
    @ivar token: the tokens, each of which grants full access. If there are none, the server
        serves this machine only.
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
    max_webhooks: int
    max_job_webhooks: int
    drain: float
    shutdown_delay: float

    def __repr__(self) -> str:
        return f"<Settings port={self.port} database={self.database!r}>"

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """
        The networks to which webhooks may go although they are not public. Without a token they
        include this machine.
        """
        return self.allow_net if self.token else (*_LOOPBACK, *self.allow_net)

    @property
    def prefix(self) -> str:
        """The path of the public URL, without a slash at its end; empty if there is none."""
        return "" if self.public_url is None else urlsplit(self.public_url).path


def resolve(
    options: Mapping[str, Any], environment: Mapping[str, str], dotenv: Mapping[str, str | None]
) -> Settings:
    """
    Make settings of all that was given.

    @param options: the options by name. C{None}, an empty list or no item means that an option
        was not given.
    @param environment: the environment variables. An option wins over them.
    @param dotenv: the content of C{.env}. A variable wins over it.
    @raise BadSetting: if a value cannot be used.
    """
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        option = options.get(setting.option)
        if setting.kind == "flag":
            option = "on" if option else None
        texts = [option] if isinstance(option, str) else option or []
        given = [(f"--{setting.option}", text) for text in texts]
        # An empty variable counts as not set.
        text = environment.get(setting.variable) or dotenv.get(setting.variable)
        if not given and text:
            given = [(setting.variable, text)]
        if not given and setting.default is not None:
            given = [(setting.option, setting.default)]
        read = [_read(setting, name, text) for name, text in given]
        if setting.kind == "list":
            values[setting.attribute] = tuple(item for each in read for item in each)
        elif read:
            values[setting.attribute] = read[0]
        else:
            empty: object = () if setting.option == "token" else None
            values[setting.attribute] = False if setting.kind == "flag" else empty
    settings = Settings(**values)
    if settings.private and not settings.token:
        raise BadSetting("--private needs a token: set STATUSJOB_TOKEN")
    return settings


def _read(setting: Setting, name: str, text: str) -> Any:
    try:
        return setting.read(text)
    except ValueError as error:
        # A token must not be shown.
        shown = "" if setting.option == "token" else f" {text!r}"
        raise BadSetting(f"{name}{shown}: {error}") from None
