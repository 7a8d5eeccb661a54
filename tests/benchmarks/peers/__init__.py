"""
What the benchmarks compare with, as it is usually written and started in production.

Each server is given a port; those that keep jobs know one from the start, L{JOB_ID}. Each poster
is given the port of a sink and the seconds for which it posts, and prints how many posts it made,
in how many seconds, and how many seconds of CPU time they took.
"""

from __future__ import annotations

#: The id of the job that every server knows, as long as the ids of statusjob.
JOB_ID = "00000000-0000-7000-8000-000000000001"
