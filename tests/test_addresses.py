"""The addresses of hosts, as the system's resolver tells them."""

from __future__ import annotations

from socket import EAI_AGAIN, EAI_FAIL, EAI_MEMORY, EAI_NODATA, EAI_NONAME, EAI_SYSTEM, gaierror
from typing import Any, NoReturn

from twisted.trial.unittest import SynchronousTestCase

from statusjob import addresses
from statusjob.addresses import system_addresses
from statusjob.failures import ExchangeFailed


class SystemTests(SynchronousTestCase):
    """The system's resolver."""

    def test_an_address_in_any_form_is_its_own_only_address(self) -> None:
        for name in ("127.0.0.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1"):
            self.assertEqual(system_addresses(name), ("127.0.0.1",))
        self.assertEqual(system_addresses("::ffff:127.0.0.1"), ("::ffff:127.0.0.1",))

    def test_an_invalid_name_has_no_addresses(self) -> None:
        for name in ("a..b", "x" * 64 + ".invalid", "bücher.invalid", "::1%nowhere", "[::1]"):
            self.assertEqual(system_addresses(name), ())

    def test_only_some_errors_of_the_system_mean_that_there_is_no_such_name(self) -> None:
        def fail_with(code: int) -> None:
            def failing(*given: Any, **more: Any) -> NoReturn:
                raise gaierror(code, "no")

            self.patch(addresses, "getaddrinfo", failing)

        for code in (EAI_NONAME, EAI_NODATA):
            fail_with(code)
            self.assertEqual(system_addresses("a.example"), ())
        for code in (EAI_AGAIN, EAI_FAIL, EAI_SYSTEM, EAI_MEMORY):
            fail_with(code)
            error = self.assertRaises(ExchangeFailed, system_addresses, "a.example")
            self.assertEqual((error.kind, error.lasting), ("dns", False))
