"""
C{python -m statusjob.testing}: the hostile receiver, for the shell.

It listens on loopback only, until it is interrupted, and prints a line for each request.
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
    The modes and the port.

    @raise SystemExit: with code 2 and one line, if these are no such arguments.
    """
    width = max(map(len, NAMED)) + 2
    listed = [f"  {name:{width}}{mode.__doc__}" for name, mode in NAMED.items()]
    listed.append(f"  {'200 ... 599':{width}}Answers with that status code.")
    parser = _Parser(
        prog="python -m statusjob.testing",
        description="A receiver of webhooks that treats its callers badly.",
        epilog="modes:\n" + "\n".join(listed),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "mode", nargs="+", help="of the first connection, the next one, ... and all that follow"
    )
    parser.add_argument("--port", type=int, default=0, help="on loopback; default: a free one")
    parser.add_argument(
        "--retry-after", metavar="X", help="a header of answers with a status code"
    )
    parser.add_argument("--to", metavar="URL", help="likewise: where a redirection leads")
    given = parser.parse_args(arguments)
    if not 0 <= given.port <= 65535:
        parser.error(f"{given.port} is no port")
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
        parser.error("--retry-after and --to go with a status code")
    return chosen, given.port


def _headers(given: Namespace) -> dict[str, str]:
    named = {"Retry-After": given.retry_after, "Location": given.to}
    return {name: value for name, value in named.items() if value is not None}


def main(arguments: Sequence[str]) -> None:
    """Listen until interrupted."""
    chosen, port = parse(arguments)
    number = count(1)

    def show(request: Request) -> None:
        # What others send may move the cursor; escaped, it cannot.
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
