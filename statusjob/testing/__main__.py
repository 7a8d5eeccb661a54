"""
C{python -m statusjob.testing}: the hostile receiver as a command.

It listens on loopback only until it is interrupted, and prints a line for each request.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from itertools import count
from typing import Any, NoReturn

from twisted.internet import reactor as _reactor
from twisted.internet.error import CannotListenError

from statusjob.testing import HostileReceiver, Mode, Request, modes

reactor: Any = _reactor

NAMED = {mode.__name__.replace("_", "-"): mode for mode in modes.ALL}


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str]) -> tuple[list[Mode], int]:
    """
    Parse the arguments of the command.

    @return: the modes and the port.
    @raise SystemExit: with code 2 and a message of one line, if the arguments are wrong.
    """
    width = max(map(len, NAMED)) + 2
    listed = [f"  {name:{width}}{mode.__doc__}" for name, mode in NAMED.items()]
    listed.append(f"  {'200 ... 599':{width}}Answers with that status code.")
    parser = _Parser(
        prog="python -m statusjob.testing",
        description="A receiver of webhooks that misbehaves.",
        epilog="modes:\n" + "\n".join(listed),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "mode", nargs="+", help="for the first connection, the next one, ...; the last one stays"
    )
    parser.add_argument("--port", type=int, default=0, help="on loopback (default: a free one)")
    parser.add_argument(
        "--retry-after", metavar="X", help="a header for answers with a status code"
    )
    parser.add_argument("--to", metavar="URL", help="the target of a redirection, likewise")
    given = parser.parse_args(arguments)
    if not 0 <= given.port <= 65535:
        parser.error(f"{given.port} is not a port (0 to 65535)")
    headers = _headers(given)
    chosen = []
    for name in given.mode:
        if name in NAMED:
            chosen.append(NAMED[name])
        elif len(name) == 3 and name.isdecimal() and 200 <= int(name) <= 599:
            chosen.append(modes.answer(int(name), headers))
        else:
            parser.error(f"there is no mode {name!r}; --help lists them")
    if headers and all(name in NAMED for name in given.mode):
        parser.error("--retry-after and --to need a status code as a mode")
    return chosen, given.port


def _headers(given: Namespace) -> dict[str, str]:
    named = {"Retry-After": given.retry_after, "Location": given.to}
    return {name: value for name, value in named.items() if value is not None}


def main(arguments: Sequence[str]) -> None:
    """
    Run the command: listen until interrupted.

    @param arguments: those after the command's name.
    @raise SystemExit: if the arguments are wrong, or the port cannot be used.
    """
    chosen, port = parse(arguments)
    number = count(1)

    def show(request: Request) -> None:
        # A request may contain control characters for the terminal, so it is escaped.
        line = repr(request.line)[2:-1]
        print(f"{next(number)}: {line}, {len(request.body)} bytes", flush=True)

    receiver = HostileReceiver(reactor, *chosen, on_request=show)
    try:
        listening = reactor.listenTCP(port, receiver, interface="127.0.0.1")
    except CannotListenError as error:
        sys.exit(f"cannot listen on port {port}: {error.socketError}")
    where = f"http://127.0.0.1:{listening.getHost().port}/"
    reactor.callWhenRunning(print, "listening on", where, flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
