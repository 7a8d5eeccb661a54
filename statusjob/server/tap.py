"""
The plugin of twistd and twist: the options of the server, and the service made of them.

Nothing is opened here, because twistd becomes a daemon after L{makeService}.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

from statusjob.clock import use_monotonic_clock
from statusjob.server.environment import EnvFile, check_environment, read_env_file
from statusjob.server.service import CannotStart, Server
from statusjob.server.settings import SETTINGS, BadSetting, Setting, Settings, resolve
from statusjob.server.signals import Signals

_log = Logger()


def _repeatable(setting: Setting) -> Callable[[Options, str], None]:
    """Make the method that takes one value of a list."""

    def add(options: Options, text: str) -> None:
        options[setting.option].append(text)

    add.__doc__ = setting.help_text
    return add


class Options(usage.Options):
    """
    The options of the server.

    @ivar settings: what all options, variables and the file C{.env} amount to.
    @ivar env_file: the file C{.env} of the directory in which the server will run.
    @ivar warnings: what in the file and in the environment was not understood, a line each.
    """

    synopsis = "[options]"
    longdesc = (
        "Every option can also be set by its environment variable, or by the same name in a file"
        " .env in the working directory. An option wins over a variable, and a variable over the"
        " file."
    )
    optParameters: ClassVar = [
        [s.option, None, None, s.help_text] for s in SETTINGS if s.kind == "value"
    ]
    optFlags: ClassVar = [[s.option, None, s.help_text] for s in SETTINGS if s.kind == "flag"]

    settings: Settings
    env_file: EnvFile | None = None
    warnings: Sequence[str] = ()

    def __init__(self) -> None:
        super().__init__()
        for setting in SETTINGS:
            if setting.kind == "list":
                self[setting.option] = []

    def postOptions(self) -> None:
        """
        Make the settings.

        @raise CannotStart: if they cannot be used. A C{UsageError} would bury the reason under the
            list of all options.
        """
        # twistd changes to this directory only later.
        parent: Any = self.parent
        directory = "." if parent is None else parent.get("rundir") or "."
        try:
            self.env_file = read_env_file(Path(directory) / ".env")
            self.warnings = [*self.env_file.warnings, *check_environment(os.environ)]
            self.settings = resolve(self, os.environ, self.env_file.values)
        except BadSetting as error:
            raise CannotStart(str(error)) from None


for _setting in SETTINGS:
    if _setting.kind == "list":
        setattr(Options, f"opt_{_setting.attribute}", _repeatable(_setting))


def makeService(options: Options) -> IService:
    """
    Make the service, and let the reactor's timers run by a clock that nobody sets.

    @return: the service, not started.
    """
    from twisted.internet import reactor as _reactor

    reactor: Any = _reactor
    use_monotonic_clock(reactor)
    service = Server(reactor, options.settings, now=time.time)
    # First to start and last to stop: a hangup must not kill a server that is just stopping.
    service.parts = [Signals(reactor, service.reload), *service.parts]
    for warning in options.warnings:
        _log.warn("{warning}", warning=warning)
    if options.env_file is not None:
        found = "read" if options.env_file.found else "there is no"
        _log.info("{found} {path}", found=found, path=options.env_file.path)
    # A full garbage collection would look at everything that was imported, and each time hold the
    # reactor up for 50 ms. All of that is needed to the end, so it is left out of collections.
    gc.collect()
    gc.freeze()
    return service
