"""
Tests that a server reveals nothing confidential: they search its log and all its answers.

Confidential are the secrets of webhooks and, of their URLs, the user information, the path, the
query and the fragment. No event of the log may have one of them, not even in a traceback, and no
answer but those that are meant to show a secret. Tracebacks are searched as Twisted formats them,
as Python chains them, and as verbose as they get. The variables of their frames are not searched:
Twisted captures those only when it debugs Deferreds, and no server runs like that.
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

#: A URL with confidential parts, these parts, and its credentials as they are sent.
URL = "http://us3r:passw0rd@receiver.example/p4th/hook?qu3ry=v4lue#fr4gment"
PARTS = ("us3r", "passw0rd", "p4th", "qu3ry", "v4lue", "fr4gment")
CREDENTIALS = b64encode(b"us3r:passw0rd").decode()


class Broken(dict[str, Any]):
    """Names whose lookup raises an exception."""

    def get(self, name: str, default: object = None) -> Any:
        raise ZeroDivisionError


class ConfidentialTestCase(WebhookApiTestCase):
    """
    Records the log and all answers of a server, and searches them when it has stopped.

    @ivar events: the events of the log.
    @ivar answers: bodies and headers of the answers, without the secrets that they had to show.
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
        """Stop the server, and search all that it has revealed for confidential parts."""
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
            # A secret is shown only to the one who registers the webhook or rotates its secret.
            self.assertEqual((method, reply.header("Cache-Control")), ("POST", "no-store"))
            self.secrets.append(shown[1])
            body = body.replace(shown[0], "")
        headers = [f"{name}: {value}" for name, value in reply.headers.items()]
        self.answers += [body, *headers]
        return reply

    def look(self, hook: str) -> list[str]:
        """Ask for all about a webhook, and give the classes of its newest delivery's attempts."""
        for path in ("/webhooks", f"/webhooks/{hook}"):
            self.get(path)
        newest, *_ = self.deliveries(hook)
        return [each["class"] for each in newest["attempts"]]

    def logged(self, word: str) -> int:
        """Count the events of the log that have this in their text."""
        return sum(word in eventAsText(event) for event in self.events)


def texts(event: LogEvent) -> Sequence[str]:
    """Give all the forms in which an event of the log may be read."""
    told = [eventAsText(event), str(event.get("log_format")), eventAsJSON(event)]
    told += [repr(value) for value in event.values()]
    failure = event.get("log_failure")
    if failure is not None:
        told += [failure.getTraceback(detail=each) for each in ("brief", "default", "verbose")]
        told += traceback.format_exception(failure.value)
        told += [repr(failure.value), failure.getErrorMessage()]
    return told
