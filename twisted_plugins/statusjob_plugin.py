"""Registers the plugin L{statusjob.server.tap} with twistd and twist, and imports nothing else."""

from twisted.application.service import ServiceMaker

statusjob = ServiceMaker(
    "statusjob",
    "statusjob.server.tap",
    "Tell everyone who waits for a long-running job that it is done.",
    "statusjob",
)
