"""
Real nginx, HAProxy and Apache httpd between our clients and a server: nothing is lost.

    python -m tests.end_to_end.intermediaries.run [WORD ...]

Each is configured as plainly as an operator begins, with compression, and as C{examples/deploy/}
recommends. With words, only setups and scenarios whose names have one of them are run. Needs
nginx, HAProxy, Apache httpd with its modules, and curl. Everything listens on free ports of this
machine, and has its files in a temporary directory.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults

from statusjob.testing.certificates import self_signed_options
from tests.end_to_end.intermediaries import scenarios
from tests.end_to_end.intermediaries.proxies import (
    HOST,
    Apache,
    CachingNginx,
    HAProxy,
    ImpatientNginx,
    Intermediary,
    Nginx,
    TwoNginx,
)
from tests.end_to_end.intermediaries.scenarios import Finding
from tests.end_to_end.intermediaries.setups import Setup
from tests.helpers.processes import reactor

#: Seconds for each scenario.
TIMEOUT = 60.0

Scenario = Callable[[Setup], Coroutine[Deferred[Any], Any, Finding]]

_TERMINATED: Scenario = partial(scenarios.restart_is_survived, number=signal.SIGTERM)
_KILLED: Scenario = partial(scenarios.restart_is_survived, number=signal.SIGKILL)
_QUIET: Sequence[tuple[str, Scenario]] = (
    ("reports", scenarios.reports_get_through),
    ("validators", scenarios.validators_hold),
    ("long polls", scenarios.long_polls_are_held),
    ("monitoring", scenarios.monitoring_is_told),
    ("updates", scenarios.updates_come_one_by_one),
)
_STREAM = ("stream", scenarios.streams_get_through)
_RESTARTS = (("restart", _TERMINATED), ("kill -9", _KILLED))
_LOST_ROUTE = ("lost route", scenarios.lost_route_is_survived)

#: Every intermediary with what is tried through it, one after the other.
_SETUPS: Sequence[tuple[type[Intermediary], bool, Sequence[tuple[str, Scenario]]]] = (
    (Nginx, False, (*_QUIET, _STREAM, *_RESTARTS, _LOST_ROUTE)),
    (Nginx, True, (*_QUIET, _STREAM, *_RESTARTS)),
    # The outer one buffers streams, so that watchers have to do without them.
    (TwoNginx, False, (*_QUIET, _RESTARTS[0])),
    # It answers no client with 304, so only the end of a job ends a long poll early.
    (CachingNginx, False, (_QUIET[0], *_QUIET[3:], _STREAM, *_RESTARTS)),
    (ImpatientNginx, False, (("impatience", scenarios.impatience_is_survived),)),
    (HAProxy, False, (*_QUIET, _STREAM, *_RESTARTS)),
    (HAProxy, True, (*_QUIET, _STREAM, *_RESTARTS)),
    (Apache, False, (*_QUIET, _STREAM, *_RESTARTS, _LOST_ROUTE)),
    (Apache, True, (*_QUIET, _STREAM, *_RESTARTS)),
)


async def check(proxy: Intermediary, tries: Sequence[tuple[str, Scenario]]) -> bool:
    """
    Try scenarios through one intermediary, and print a line for each.

    @return: whether all went well.
    """
    setup, well = Setup(proxy), True
    server = proxy.directory.with_name(f"{proxy.directory.name}-server")
    server.mkdir()
    try:
        await setup.start(server)
        for name, scenario in tries:
            begun = reactor.seconds()
            try:
                finding = await Deferred.fromCoroutine(scenario(setup)).addTimeout(
                    TIMEOUT, reactor
                )
                within = 0 < finding.requests <= finding.bound
                told = f"{finding.requests:3} of {finding.bound:3} requests  {finding.what}"
            except Exception:
                within, told = False, traceback.format_exc(limit=-3)
            took = reactor.seconds() - begun
            mark = "" if within else "FAILED  "
            print(f"{setup.name:23} {name:11} {took:5.1f} s  {mark}{told}", flush=True)
            well = well and within
    finally:
        await setup.stop()
    return well


async def check_all(directory: Path, words: Sequence[str]) -> None:
    """
    Check every setup, all at the same time.

    @raise SystemExit: if anything failed.
    """

    def is_wanted(name: str) -> bool:
        return not words or any(word.lower() in name.lower() for word in words)

    checks = []
    for number, (kind, recommended, tries) in enumerate(_SETUPS):
        place = directory / str(number)
        place.mkdir()
        proxy = kind(place, recommended=recommended)
        wanted = [each for each in tries if is_wanted(f"{Setup.name_of(proxy)}, {each[0]}")]
        if wanted:
            checks.append(Deferred.fromCoroutine(check(proxy, wanted)))
    results = await gatherResults(checks, consumeErrors=True)
    if not all(results):
        raise SystemExit("something went wrong behind an intermediary")


def make_certificate(directory: Path) -> None:
    """Write a certificate for L{HOST}, its key, and both in one file, and let clients trust it."""
    options: Any = self_signed_options(HOST)
    certificate = options.certificate.public_bytes(Encoding.PEM)
    key = options.privateKey.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "certificate.pem").write_bytes(certificate)
    (directory / "key.pem").write_bytes(key)
    (directory / "both.pem").write_bytes(certificate + key)
    os.environ["SSL_CERT_FILE"] = str(directory / "certificate.pem")


def main() -> None:
    """Check what the arguments name, or all."""
    with tempfile.TemporaryDirectory(prefix="statusjob-") as name:
        directory = Path(name)
        # The intermediaries may run as another user.
        directory.chmod(0o755)
        make_certificate(directory)
        task.react(lambda _: Deferred.fromCoroutine(check_all(directory, sys.argv[1:])))


if __name__ == "__main__":
    main()
