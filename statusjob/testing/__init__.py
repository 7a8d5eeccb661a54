"""
For the tests of whoever sends webhooks or talks to servers: ours, and our users'.

The public names. Importing them imports no reactor.
"""

from statusjob.testing import modes
from statusjob.testing.certificates import self_signed_options
from statusjob.testing.hostile import Connection, HostileReceiver, Mode, Request

__all__ = [
    "Connection",
    "HostileReceiver",
    "Mode",
    "Request",
    "modes",
    "self_signed_options",
]
