"""Tells twistd and twist of statusjob, and nothing else: see L{statusjob.server.tap}."""

from twisted.application.service import ServiceMaker

statusjob = ServiceMaker(
    "statusjob",
    "statusjob.server.tap",
    "Tell everyone who waits for a long-running job that it is done.",
    "statusjob",
)
