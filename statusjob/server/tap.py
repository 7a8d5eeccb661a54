"""
The plugin of twistd and twist: its options, and the service made of them.

Here the parts are put together, and only here (of the server) the reactor is
imported. Nothing is opened before C{startService}, because twistd becomes a
daemon after C{makeService}; from then on what cannot start is one line and exit
code 1.
"""

from __future__ import annotations

import gc
import os
import time
from typing import ClassVar

from dotenv import dotenv_values
from twisted.application.service import IService
from twisted.python import usage

from statusjob.clock import use_monotonic_clock
from statusjob.server.service import Server, stop_at_once
from statusjob.server.settings import SETTINGS, BadSetting, Settings, resolve


class Options(usage.Options):
    """
    Serve job status and webhooks.

    Every option can also be given in the environment or in a file C{.env}.
    """

    synopsis = "[options]"
    longdesc = (
        "Every option may come from the environment or from a file .env in the working"
        " directory instead; an option wins over a variable, a variable over the file."
    )
    optParameters: ClassVar = [
        [s.option, None, None, f"{s.help} [{s.variable}; default: {s.default or 'none'}]"]
        for s in SETTINGS
        if s.kind == "value"
    ]
    optFlags: ClassVar = [
        [s.option, None, f"{s.help} [{s.variable}]"] for s in SETTINGS if s.kind == "flag"
    ]

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        for setting in SETTINGS:
            if setting.kind == "list":
                self[setting.option] = []

    def opt_endpoint(self, text: str) -> None:
        """Twisted endpoint to listen on instead of the port; may be repeated"""
        self["endpoint"].append(text)

    def opt_allow_net(self, text: str) -> None:
        """network, not public, to which webhooks may go; may be repeated"""
        self["allow-net"].append(text)

    def postOptions(self) -> None:
        """
        Make the settings.

        @raise SystemExit: with one line, if they cannot be used: a C{UsageError} would bury it
            under all options there are.
        """
        try:
            self.settings = resolve(self, os.environ, dotenv_values(".env", interpolate=False))
        except BadSetting as error:
            stop_at_once(str(error))
        except (OSError, UnicodeDecodeError) as error:
            stop_at_once(f"cannot read .env: {error}")


def makeService(options: Options) -> IService:
    """What twistd and twist call: the service, not started."""
    from twisted.internet import reactor

    use_monotonic_clock(reactor)
    service = Server(reactor, options.settings, now=time.time)
    # A full garbage collection would go through all that was imported and hold the reactor up for
    # 50 ms, again and again. None of that is ever garbage, so let it not be looked at.
    gc.collect()
    gc.freeze()
    return service
