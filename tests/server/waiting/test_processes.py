"""A whole server in a process of its own, watched by curl."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue

from tests.helpers.processes import ProcessTestCase, together

#: Follows a stream as a browser does, with curl: it reconnects with the id of the last event, and
#: stops when there is nothing more to come.
FOLLOW = """
touch all
last=0
while code=$(curl -sN -o part -w '%{http_code}' -H "Last-Event-ID: $last" "$1" || true)
    [ "$code" != 204 ]
do
    if [ -f part ]; then cat part >>all; rm part; fi
    last=$(sed -n 's/^id: //p' all | tail -n 1)
    sleep 0.1
done
"""


class CurlTests(ProcessTestCase):
    """curl follows jobs."""

    async def run_script(self, script: str, *arguments: str) -> str:
        """Run a shell script in the test's directory; return what it printed."""
        out, err, code = await getProcessOutputAndValue(
            "/bin/bash", ["-euc", script, "bash", *arguments], path=str(self.directory)
        )
        self.assertEqual((err, code), (b"", 0), out)
        printed: str = out.decode()
        return printed

    async def report(self, url: str, report: dict[str, Any]) -> None:
        code, _ = await self.client.ask("PATCH", url, report)
        self.assertEqual(code, 200)

    async def test_a_stream_ends_with_its_job(self) -> None:
        process = await self.start()
        members = {"simulate": {"delay": 0.3, "error_rate": 0}}
        _, job = await self.client.ask("POST", f"{process.url}/jobs", members)
        text = await self.run_script('curl -sfN "$1"', f"{process.url}/jobs/{job['id']}/events")
        versions = [int(each) for each in re.findall(r"^id: (\d+)$", text, re.MULTILINE)]
        self.assertEqual(versions, sorted(set(versions)))
        self.assertEqual(text.count("event: job.completed\n"), 1)
        self.assertEqual(text.strip().splitlines()[-2], "event: job.completed")
        await self.client.close()
        await self.stop(process)

    async def test_a_job_is_followed_through_a_restart_to_its_end(self) -> None:
        process = await self.start()
        port = process.url.rsplit(":", 1)[1]
        _, job = await self.client.ask("POST", f"{process.url}/jobs", {})
        url = f"{process.url}/jobs/{job['id']}"
        part = self.directory / "part"

        async def work() -> None:
            nonlocal process
            await self.report(url, {"message": "before"})
            while not (part.exists() and "before" in part.read_text()):
                await self.client.ask("GET", f"{process.url}/healthz")
            await self.client.close()
            await self.stop(process)
            process = await self.start(PORT=port)
            await self.report(url, {"message": "after"})
            await self.report(url, {"result": "completed"})

        await together(self.run_script(FOLLOW, f"{url}/events"), work())
        text = (self.directory / "all").read_text()
        versions = [int(each) for each in re.findall(r"^id: (\d+)$", text, re.MULTILINE)]
        self.assertEqual((versions[-1], versions), (4, sorted(set(versions))))
        self.assertEqual(text.count("event: job.completed\n"), 1)
        await self.client.close()
        await self.stop(process)
