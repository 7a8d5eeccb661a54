"""
Check that the npm package C{standardwebhooks} verifies our signatures, and we verify its.

    python -m tests.end_to_end.interoperate DIRECTORY

DIRECTORY is a copy of C{tests/end_to_end/node} in which C{npm ci} was run. The tests check the
same with the Python package of that name.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from statusjob import new_secret
from statusjob.contract.jobs import webhook_payload
from statusjob.contract.signing import VerificationFailed, Verifier, headers, sign
from tests.helpers.scripted_server import a_job
from tests.helpers.signing_vector import BODY, ID, SECRET, SIGNATURE, TIMESTAMP

OLD, NEW, OTHER = (new_secret(bytes([each]) * size) for each, size in ((1, 24), (2, 32), (3, 64)))
PAYLOADS = (
    webhook_payload(a_job("completed", output={"rows": 1000})),
    webhook_payload(a_job("error", message='"\u00e4\u20ac\U0001f600\u2028" \\ \n')),
    b'{"result":"completed","timestamp":1732387200123}',
)


class Cases:
    """Messages for node to verify, and its expected verdicts."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.verify: list[dict[str, Any]] = []
        self.expected: list[tuple[str, Any]] = []

    def genuine(self, name: str, secret: str, made: dict[bytes, bytes], body: bytes) -> None:
        """Add a message that node must accept, and whose body it must read as we do."""
        self._add(name, secret, made, body, {"payload": json.loads(body)})

    def forged(self, name: str, secret: str, made: dict[bytes, bytes], body: bytes) -> None:
        """Add a message that node must refuse."""
        self._add(name, secret, made, body, None)

    def _add(
        self, name: str, secret: str, made: dict[bytes, bytes], body: bytes, expected: Any
    ) -> None:
        carried = {key.decode(): value.decode() for key, value in made.items()}
        self.verify.append({"secret": secret, "headers": carried, "body": body.decode()})
        self.expected.append((name, expected))


def ours_for_node(now: int) -> Cases:
    """Make the messages that we have signed."""
    cases = Cases(now)
    for body in PAYLOADS:
        for secret in (OLD, NEW, OTHER):
            cases.genuine("one secret", secret, headers([secret], "msg_1", now, body), body)
        rotating = headers([NEW, OLD], "msg_1", now, body)
        cases.genuine("the old secret during a rotation", OLD, rotating, body)
        cases.genuine("the new secret during a rotation", NEW, rotating, body)
        cases.forged("another secret", OTHER, rotating, body)
        cases.forged("another body", NEW, rotating, body + b" ")
        cases.forged("a stale one", NEW, headers([NEW], "msg_1", now - 3600, body), body)
    return cases


def nodes_for_us(now: int) -> list[dict[str, Any]]:
    """Make the messages that node must sign: each payload with each secret, and the vector."""
    wanted: list[dict[str, Any]] = [
        {"secret": secret, "id": "msg_1", "timestamp": now, "body": body.decode()}
        for body in PAYLOADS
        for secret in (OLD, NEW, OTHER)
    ]
    vector = {"secret": SECRET, "id": ID, "timestamp": TIMESTAMP, "body": BODY.decode()}
    return [*wanted, vector]


def check_verdicts(cases: Cases, verdicts: list[Any]) -> None:
    """Check the verdicts of node."""
    for (name, expected), verdict in zip(cases.expected, verdicts, strict=True):
        if expected is None:
            assert verdict.get("refused", "").startswith("WebhookVerificationError"), name
        else:
            assert verdict == expected, (name, verdict)


def check_signatures(now: int, signatures: list[str]) -> None:
    """Check that we accept what node has signed, and nothing else."""
    *signed, vector = signatures
    assert vector == SIGNATURE == sign(SECRET, ID, TIMESTAMP, BODY), vector
    for number, body in enumerate(PAYLOADS):
        old, new, other = signed[3 * number : 3 * number + 3]
        for accepted, signature in (
            ([OLD], old),
            ([NEW], new),
            ([OTHER], other),
            ([NEW, OLD], old),
            ([NEW, OLD], new),
            ([OLD], f"{new} {old}"),
            ([NEW], f"{new} {old}"),
        ):
            assert verifies(accepted, signature, body, now), (accepted, signature)
        assert not verifies([OTHER], f"{new} {old}", body, now)
        assert not verifies([NEW], new, body + b" ", now)
        assert not verifies([NEW], new, body, now + 3600)


def verifies(secrets: list[str], signature: str, body: bytes, now: int) -> bool:
    """Whether our verifier accepts a message with this signature."""
    carried = {
        b"webhook-id": [b"msg_1"],
        b"webhook-timestamp": [b"%d" % now],
        b"webhook-signature": [signature.encode()],
    }
    try:
        Verifier(*secrets).verify(body, carried.get, now)
    except VerificationFailed:
        return False
    return True


def main(directory: Path) -> None:
    """Run node once, and check its answers."""
    now = int(time.time())
    cases = ours_for_node(now)
    asked = json.dumps({"verify": cases.verify, "sign": nodes_for_us(now)})
    answer = subprocess.run(
        ["node", directory / "interoperate.js"],
        input=asked,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    given = json.loads(answer.stdout)
    check_verdicts(cases, given["verdicts"])
    check_signatures(now, given["signatures"])
    print(
        f"{len(cases.verify)} messages judged, {len(given['signatures'])} signed by node: all well"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
