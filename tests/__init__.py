"""
The tests. For every runner, this module chooses how thorough the random ones are: quick by
default; thorough, and the same each time, where the environment has C{CI}.

@var THOROUGH: whether tests try many random cases instead of a few.
"""

import os

from hypothesis import settings

THOROUGH = "CI" in os.environ

settings.register_profile("quick", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=200, derandomize=True)
settings.load_profile("thorough" if THOROUGH else "quick")
