"""
For tests of programs that send webhooks or talk to servers: a server that misbehaves.

These are the public names. Importing them imports no reactor.
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
