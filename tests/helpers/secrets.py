"""The secrets with which tests sign webhooks."""

from __future__ import annotations

from statusjob import new_secret

#: The dumps in C{tests/dumps} hold this one.
SECRET = new_secret(b"statusjob" * 3 + b"statu")
OTHER_SECRET = new_secret(b"o" * 32)
