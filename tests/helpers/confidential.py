"""
What tests that nothing confidential is told share: they listen to all that is.

Secrets of webhooks, and of their URLs user-info, path, query and fragment, are told to nobody:
not by any event of the log with its traceback, and not by any answer but those that are to show a
secret. Tracebacks are looked at as Twisted formats them, as Python chains them, and as verbose as
they get. Not looked at are the variables of their frames: Twisted captures those only while
Deferreds are being debugged, as no server is run.
"""

from __future__ import annotations

import gc
import re
import traceback
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, cast

from twisted.logger import ILogObserver, LogEvent, eventAsJSON, eventAsText, globalLogPublisher

from tests.helpers.messages import Reply
from tests.helpers.secrets import OTHER_SECRET, SECRET
from tests.helpers.servers import InMemoryServer
from tests.helpers.webhook_api import WebhookApiTestCase

#: What must not be told, in a URL, and as it goes over the wire.
URL = "http://us3r:passw0rd@receiver.example/p4th/hook?qu3ry=v4lue#fr4gment"
PARTS = ("us3r", "passw0rd", "p4th", "qu3ry", "v4lue", "fr4gment")
CREDENTIALS = b64encode(b"us3r:passw0rd").decode()


class Broken(dict[str, Any]):
    """Names that cannot be looked up."""

    def get(self, name: str, default: object = None) -> Any:
        raise ZeroDivisionError


class ConfidentialTestCase(WebhookApiTestCase):
    """
    Notes all that is told, and looks through it when the server has stopped.

    @ivar events: what was logged.
    @ivar answers: what was answered, with the secrets that it was to show blotted out.
    """

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        self.answers: list[str] = []
        self.secrets = [SECRET, OTHER_SECRET]
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.fake = InMemoryServer(STATUSJOB_RETRY_SCHEDULE="0,60")
        self.wires = []
        self.addCleanup(self.look_through)

    def look_through(self) -> None:
        """Stop the server, and look for what must not have been told."""
        self.stop(self.fake)
        self.assertEqual(self.logged("stopped; every acknowledged change is on disk"), 1)
        # What nobody handled is logged when it is collected.
        gc.collect()
        told = [*self.answers, *(text for event in self.events for text in texts(event))]
        for secret in (
            *PARTS,
            CREDENTIALS,
            *(each.removeprefix("whsec_") for each in self.secrets),
        ):
            for text in told:
                self.assertNotIn(secret.lower(), text.lower())

    def ask(self, fake: InMemoryServer, method: str, path: str, **more: Any) -> Reply:
        reply = super().ask(fake, method, path, **more)
        body = reply.body.decode()
        shown = re.search('"secret":"([^"]*)"', body)
        if shown is not None:
            # To whoever brings one along or has one made, and to nobody else.
            self.assertEqual((method, reply.header("Cache-Control")), ("POST", "no-store"))
            self.secrets.append(shown[1])
            body = body.replace(shown[0], "")
        headers = [f"{name}: {value}" for name, value in reply.headers.items()]
        self.answers += [body, *headers]
        return reply

    def look(self, hook: str) -> list[str]:
        """Look at what is shown of a webhook; the classes of its newest delivery's attempts."""
        for path in ("/webhooks", f"/webhooks/{hook}"):
            self.get(path)
        newest, *_ = self.deliveries(hook)
        return [each["class"] for each in newest["attempts"]]

    def logged(self, word: str) -> int:
        """How many events of the log have this in their text."""
        return sum(word in eventAsText(event) for event in self.events)


def texts(event: LogEvent) -> Sequence[str]:
    """All that an event of the log may look like to whoever reads it."""
    told = [eventAsText(event), str(event.get("log_format")), eventAsJSON(event)]
    told += [repr(value) for value in event.values()]
    failure = event.get("log_failure")
    if failure is not None:
        told += [failure.getTraceback(detail=each) for each in ("brief", "default", "verbose")]
        told += traceback.format_exception(failure.value)
        told += [repr(failure.value), failure.getErrorMessage()]
    return told
