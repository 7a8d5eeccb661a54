"""
Wait for a job, and be told of its end by webhook as well: whichever comes first counts.

    python examples/webhook_monitoring.py [http://localhost:8080/jobs/ID]

The receiver is a resource in a Klein application. It verifies every delivery with the
secret that the client sends along when it registers the webhook. Without a job in the
URL the program waits for the server's demo job.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from klein import Klein
from twisted.internet import defer
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react
from twisted.web.server import Site

from statusjob import (
    Status,
    StatusClient,
    StatusjobError,
    WebhookEvent,
    WebhookReceiver,
    new_secret,
)


class Application:
    """An application that also receives webhooks."""

    app = Klein()

    def __init__(self, receiver: WebhookReceiver) -> None:
        self.receiver = receiver

    @app.route("/")
    def home(self, request: Any) -> bytes:
        """A page of the application."""
        return b"an application that waits for a job\n"

    @app.route("/webhooks/status", branch=True)
    def webhooks(self, request: Any) -> WebhookReceiver:
        """Hand everything below this path to the receiver."""
        return self.receiver


async def main(reactor: Any, base_url: str = "http://localhost:8080") -> None:
    """Receive on a free port, and wait until the job ends and a webhook has said so."""
    begun = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {words}", flush=True)

    told: defer.Deferred[None] = defer.Deferred()

    def on_event(event: WebhookEvent) -> None:
        say(f"a webhook says {event.result}")
        told.callback(None)

    def on_update(status: Status) -> None:
        say(f"{status}")

    secret = new_secret()
    clients: set[StatusClient] = set()
    receiver = WebhookReceiver(secret, on_update=on_event, clients=clients, reactor=reactor)
    site = Site(Application(receiver).app.resource(), reactor=reactor)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
    client = StatusClient(
        base_url,
        webhook_url=f"http://127.0.0.1:{port.getHost().port}/webhooks/status",
        webhook_secret=secret,
        on_update=on_update,
        reactor=reactor,
    )
    clients.add(client)
    try:
        await client.start_monitoring()
        await told.addTimeout(5, reactor)
    except StatusjobError as error:
        sys.exit(f"gave up: {error}")
    except defer.TimeoutError:
        sys.exit("no webhook came")
    finally:
        # If the program was interrupted, this unregisters the webhook: nobody will listen there.
        await client.stop_monitoring()
        await port.stopListening()


if __name__ == "__main__":
    react(main, sys.argv[1:])
