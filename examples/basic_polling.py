"""
Wait for a job, and print every change of its result.

    python examples/basic_polling.py [http://localhost:8080/jobs/ID]

Without a job in the URL it waits for the server's demo job. The client uses long polls
where the server can hold a request, and otherwise asks when asking is worth it.
"""

from __future__ import annotations

import sys
import time

from twisted.internet.task import react

from statusjob import Status, StatusClient, StatusjobError


async def main(reactor: object, base_url: str = "http://localhost:8080") -> None:
    """Wait until the job ends."""
    begun = time.monotonic()

    def on_update(status: Status) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {status}", flush=True)

    client = StatusClient(base_url, on_update=on_update, reactor=reactor)
    try:
        await client.start_monitoring()
    except StatusjobError as error:
        sys.exit(f"gave up: {error}")


if __name__ == "__main__":
    react(main, sys.argv[1:])
