"""The ports on which the server listens, and those on which it refuses to."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
from pathlib import Path
from typing import Any

import twisted
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, ServerFactory
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource

from statusjob.server.errors import TooManyWatchers
from statusjob.server.feed import Feed
from statusjob.server.settings import Settings, resolve
from statusjob.server.site import ports
from statusjob.server.site.careful import CannotListen
from statusjob.server.site.ports import (
    BACKLOG,
    Ports,
    allow_files,
    connections_for,
    describe,
    listen,
)
from statusjob.server.site.site import BoundedSite
from statusjob.server.waiting.watchers import Watchers
from tests.helpers.servers import directory
from tests.helpers.watchers import Recorder

reactor: Any = _reactor


def settings(*endpoints: str, port: int = 8080, token: str = "") -> Settings:
    options = {"endpoint": list(endpoints), "port": str(port)}
    return resolve(options, {"STATUSJOB_TOKEN": token}, {})


class FakePort:
    """A port of a L{FakeReactor}."""

    def __init__(self, interface: str, number: int) -> None:
        self.interface, self.number, self.listening = interface, number, True

    def getHost(self) -> IPv4Address | IPv6Address:
        if ":" in self.interface:
            return IPv6Address("TCP", self.interface, self.number)
        return IPv4Address("TCP", self.interface or "0.0.0.0", self.number)

    def stopListening(self) -> None:
        self.listening = False


class FakeReactor:
    """
    Listens nowhere.

    @ivar errors: by interface, what listening there fails with.
    """

    def __init__(self, **errors: int) -> None:
        self.errors = {name.replace("_", ":"): number for name, number in errors.items()}
        self.ports: list[FakePort] = []

    def listenTCP(self, port: int, factory: object, backlog: int, interface: str) -> FakePort:
        assert backlog == BACKLOG, backlog
        if interface in self.errors:
            number = self.errors[interface]
            raise CannotListenError(interface, port, OSError(number, os.strerror(number)))
        self.ports.append(FakePort(interface, port))
        return self.ports[-1]

    @property
    def listening(self) -> list[str]:
        return [f"{p.interface} {p.number}" for p in self.ports if p.listening]


class DefaultTests(SynchronousTestCase):
    """The ports if the settings name no endpoints."""

    def test_without_a_token_only_this_machine_can_connect(self) -> None:
        fake = FakeReactor()
        both = listen(fake, ServerFactory(), settings(port=3000))
        self.assertEqual(fake.listening, ["127.0.0.1 3000", "::1 3000"])
        self.assertEqual(
            [describe(port) for port in both], ["http://127.0.0.1:3000", "http://[::1]:3000"]
        )

    def test_with_a_token_every_machine_can_connect(self) -> None:
        fake = FakeReactor()
        listen(fake, ServerFactory(), settings(token="x"))
        self.assertEqual(fake.listening, [":: 8080"])

    def test_a_machine_without_ipv6_listens_on_ipv4(self) -> None:
        for number in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            fake = FakeReactor(__1=number, __=number)
            listen(fake, ServerFactory(), settings())
            listen(fake, ServerFactory(), settings(token="x"))
            self.assertEqual(fake.listening, ["127.0.0.1 8080", " 8080"])

    def test_if_one_of_two_ports_fails_none_listens(self) -> None:
        for interface, fake in (
            ("127.0.0.1", FakeReactor(**{"127.0.0.1": errno.EACCES})),
            ("::1", FakeReactor(__1=errno.EACCES)),
        ):
            error = self.assertRaises(CannotListen, listen, fake, ServerFactory(), settings())
            self.assertEqual(str(error), f"cannot listen on {interface}:8080: Permission denied")
            self.assertEqual(fake.listening, [])

    def test_an_unexpected_error_of_an_endpoint_is_reported_too(self) -> None:
        class Strict(FakeReactor):
            def listenTCP(self, *_: object, **__: object) -> FakePort:
                raise OverflowError("bind(): port must be 0-65535.")

        given = settings("tcp:99999")
        error = self.assertRaises(CannotListen, listen, Strict(), ServerFactory(), given)
        self.assertEqual(str(error), "cannot listen on 'tcp:99999': bind(): port must be 0-65535.")


class SocketTests(TestCase):
    """Ports on real sockets. Trial's own check shows that none is left open."""

    timeout = 60

    def listen(self, given: Settings) -> list[IListeningPort]:
        opened = listen(reactor, Factory.forProtocol(Protocol), given)
        for port in opened:
            self.addCleanup(port.stopListening)
        return opened

    async def refused(self, given: Settings) -> str:
        """Check that listening fails with this message, in one line."""
        factory = ServerFactory()
        message = str(self.assertRaises(CannotListen, listen, reactor, factory, given))
        self.assertEqual(message.splitlines(), [message])
        await deferLater(reactor, 0)
        self.assertEqual(factory.numPorts, 0)
        if tuple(map(int, twisted.__version__.split(".")[:2])) < (26, 4):
            # Twisted leaves the socket of a failed attempt to the garbage collector.
            gc.collect()
            self.flushWarnings()
        return message

    def occupy(self, family: socket.AddressFamily, interface: str) -> int:
        """Listen on a port that is free on both loopback addresses; return its number."""
        taken = socket.socket(family)
        self.addCleanup(taken.close)
        taken.bind((interface, 0))
        taken.listen()
        number: int = taken.getsockname()[1]
        return number

    async def test_the_defaults_can_be_connected_to(self) -> None:
        for port in self.listen(settings(port=0)):
            address: Any = port.getHost()
            self.assertIn(address.host, ("127.0.0.1", "::1"))
            client: Any = TCP6ClientEndpoint if ":" in address.host else TCP4ClientEndpoint
            connected = client(reactor, address.host, address.port).connect(
                Factory.forProtocol(Protocol)
            )
            (await connected).transport.loseConnection()
            await deferLater(reactor, 0.01)

    async def test_an_error_names_a_port_that_is_in_use(self) -> None:
        number = self.occupy(socket.AF_INET, "127.0.0.1")
        for given in (settings(port=number), settings(f"tcp:{number}:interface=127.0.0.1")):
            message = await self.refused(given)
            self.assertIn(str(number), message)
            self.assertIn("Address already in use", message)

    async def test_an_error_names_a_port_that_is_in_use_on_ipv6_only(self) -> None:
        try:
            number = self.occupy(socket.AF_INET6, "::1")
        except OSError:
            self.skipTest("there is no IPv6 here")
        self.assertIn(f"::1:{number}", await self.refused(settings(port=number)))

    async def test_endpoints_replace_the_defaults(self) -> None:
        path = str(directory(self) / "socket")
        opened = self.listen(settings("tcp:0:interface=127.0.0.1", f"unix:{path}"))
        where = [describe(port) for port in opened]
        self.assertRegex(where[0], r"\Ahttp://127\.0\.0\.1:\d+\Z")
        self.assertEqual(where[1:], [f"unix:{path}"])
        self.assertTrue(Path(path).is_socket())

    async def test_a_socket_of_a_killed_process_is_replaced_whatever_lives_by_its_id(self) -> None:
        path = Path(directory(self)) / "socket"
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(path))
        for lock in (str(os.getpid()), "4194304", None):
            path.with_name("socket.lock").unlink(missing_ok=True)
            if lock is not None:
                path.with_name("socket.lock").symlink_to(lock)
            (port,) = listen(reactor, Factory.forProtocol(Protocol), settings(f"unix:{path}"))
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
            await maybeDeferred(port.stopListening)
            # A kill leaves this behind.
            with socket.socket(socket.AF_UNIX) as again:
                again.bind(str(path))

    async def test_a_socket_on_which_somebody_accepts_is_left_alone(self) -> None:
        path = Path(directory(self)) / "socket"
        self.listen(settings(f"unix:{path}"))
        for endpoint in (f"unix:{path}", f"unix:{path}:lockfile=0"):
            self.assertIn(str(path), await self.refused(settings(endpoint)))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))

    async def test_a_file_that_is_no_socket_is_left_alone(self) -> None:
        path = Path(directory(self)) / "file"
        path.write_text("precious")
        await self.refused(settings(f"unix:{path}:lockfile=0"))
        self.assertEqual(path.read_text(), "precious")

    async def test_a_socket_that_systemd_has_not_passed_is_named(self) -> None:
        for endpoint in ("systemd:domain=INET:index=0", "systemd:domain=INET:name=web"):
            self.assertIn(
                "systemd has passed no such socket", await self.refused(settings(endpoint))
            )

    async def test_both_families_are_served_where_ipv6_sockets_are_for_ipv6_only(self) -> None:
        self.patch(ports, "_is_ipv6_only", lambda port: True)
        opened = self.listen(settings(port=0, token="x"))
        families = {type(port.getHost()) for port in opened}
        self.assertIn(IPv4Address, families)

    async def test_an_endpoint_that_is_open_to_the_network_needs_a_token(self) -> None:
        for endpoint in ("tcp:0", "tcp:0:interface=0.0.0.0", r"tcp6:0:interface=\:\:"):
            try:
                message = await self.refused(settings(r"tcp:0:interface=127.0.0.1", endpoint))
            except OSError:
                continue
            self.assertIn("STATUSJOB_TOKEN", message)

    async def test_with_a_token_an_endpoint_may_be_open_to_the_network(self) -> None:
        (port,) = self.listen(settings("tcp:0", token="x"))
        self.assertIn("http://0.0.0.0:", describe(port))

    async def test_an_error_names_an_endpoint_that_is_not_valid(self) -> None:
        garbage = directory(self) / "garbage.pem"
        garbage.write_text("garbage")
        for endpoint in (
            "bogus",
            ":",
            "tcp",
            "tcp:",
            "tcp:http",
            "tcp:0:colour=red",
            "tcp:0:interface=nonsense.invalid",
            "ssl:0:privateKey=/no/such/key:interface=127.0.0.1",
            f"ssl:0:privateKey={garbage}:interface=127.0.0.1",
            "unix:/no/such/directory/socket",
            "systemd:domain=INET:index=0",
        ):
            message = await self.refused(settings("tcp:0:interface=127.0.0.1", endpoint))
            self.assertTrue(message.startswith(f"cannot listen on {endpoint!r}: "), message)

    async def test_an_endpoint_that_listens_later_is_refused(self) -> None:
        waiting: Deferred[IListeningPort] = Deferred()

        class Later:
            def listen(self, _: object) -> Deferred[IListeningPort]:
                return waiting

        self.patch(ports, "serverFromString", lambda *_: Later())
        self.assertIn("at once", await self.refused(settings("later:")))

    async def test_an_endpoint_that_has_no_port_is_refused(self) -> None:
        class Standard:
            def listen(self, _: object) -> Deferred[object]:
                return succeed(object())

        # As that of `stdio:` is.
        self.patch(ports, "serverFromString", lambda *_: Standard())
        self.assertIn("without a port", await self.refused(settings("stdio:")))


class FilesTests(SynchronousTestCase):
    """The limit of open files."""

    def allowed(self, soft: int, hard: int) -> tuple[int, int]:
        """Return the limits after 26,000 files were wanted."""
        limits = [(soft, hard)]
        self.patch(resource, "getrlimit", lambda _: (soft, hard))
        self.patch(resource, "setrlimit", lambda _, given: limits.append(given))
        allow_files(26_000)
        return limits[-1]

    def test_the_limit_is_raised_to_what_is_wanted(self) -> None:
        self.assertEqual(self.allowed(1_024, 1_000_000), (26_000, 1_000_000))
        self.assertEqual(self.allowed(1_024, resource.RLIM_INFINITY)[0], 26_000)

    def test_the_limit_is_raised_as_far_as_allowed(self) -> None:
        self.assertEqual(self.allowed(1_024, 4_096), (4_096, 4_096))

    def test_the_limit_is_never_lowered(self) -> None:
        for limits in ((30_000, 40_000), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)):
            self.assertEqual(self.allowed(*limits), limits)

    def test_there_are_as_many_connections_as_files_allow(self) -> None:
        for files, connections in (
            (100_000, 25_000),
            (26_000, 25_000),
            (4_096, 3_096),
            (1_024, 512),
            (256, 128),
        ):
            self.assertEqual(connections_for(files), connections)

    def test_the_site_follows_the_files_that_were_obtained(self) -> None:
        self.patch(resource, "getrlimit", lambda _: (256, 256))
        self.patch(ports, "listen", lambda *_: [])
        clock = MemoryReactorClock()
        site, watchers = BoundedSite(Resource(), clock), Watchers(clock, Feed())
        Ports(None, site, settings(), watchers=watchers, closed=lambda: None).start()
        self.assertEqual(site.connection_limit, 128)
        # So that workers can report while all others wait.
        for _ in range(96):
            watchers.enter(Recorder())
        self.assertRaises(TooManyWatchers, watchers.enter, Recorder())
