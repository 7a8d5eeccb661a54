"""The tests. Here, for every runner: how hypothesis goes about it."""

import os

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("suite")
