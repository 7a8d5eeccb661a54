"""pytest only: order, because pytest-twisted parks the reactor; and one profile for hypothesis."""

import os

import pytest
from hypothesis import settings
from twisted.trial.unittest import TestCase

settings.register_profile("suite", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("suite")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run trial's reactor-driving cases before the first plain function parks the reactor."""
    items.sort(key=lambda item: not issubclass(getattr(item, "cls", None) or object, TestCase))
