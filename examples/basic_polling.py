"""
Wait for a job by polling: the demo job, or any job whose URL is given.

    python examples/basic_polling.py [http://localhost:8080]
"""

from __future__ import annotations

import sys
import time

from twisted.internet.task import react

from statusjob import Status, StatusClient, StatusjobError


async def main(reactor: object, base_url: str = "http://localhost:8080") -> None:
    """Watch until the job ends, and print what happens."""
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
