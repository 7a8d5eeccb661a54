"""
The plugin of twistd and twist: the options of the server, and the service made of them.

Nothing is opened here, because twistd becomes a daemon after L{makeService}.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import ClassVar

from dotenv import dotenv_values
from twisted.application.service import IService
from twisted.python import usage

from statusjob.clock import use_monotonic_clock
from statusjob.server.service import Server, stop_at_once
from statusjob.server.settings import SETTINGS, BadSetting, Setting, Settings, resolve


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

    def __init__(self) -> None:
        super().__init__()
        for setting in SETTINGS:
            if setting.kind == "list":
                self[setting.option] = []

    def postOptions(self) -> None:
        """
        Make the settings.

        @raise SystemExit: with one line, if they cannot be used. A C{UsageError} would bury that
            line under the list of all options.
        """
        try:
            self.settings = resolve(self, os.environ, dotenv_values(".env", interpolate=False))
        except BadSetting as error:
            stop_at_once(str(error))
        except (OSError, UnicodeDecodeError) as error:
            stop_at_once(f"cannot read .env: {error}")


for _setting in SETTINGS:
    if _setting.kind == "list":
        setattr(Options, f"opt_{_setting.attribute}", _repeatable(_setting))


def makeService(options: Options) -> IService:
    """
    Make the service, and let the reactor's timers run by a clock that nobody sets.

    @return: the service, not started.
    """
    from twisted.internet import reactor

    use_monotonic_clock(reactor)
    service = Server(reactor, options.settings, now=time.time)
    # A full garbage collection would look at everything that was imported, and each time hold the
    # reactor up for 50 ms. All of that is needed to the end, so it is left out of collections.
    gc.collect()
    gc.freeze()
    return service
