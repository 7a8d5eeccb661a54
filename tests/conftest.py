"""
pytest only: order, because pytest-twisted parks the reactor, and a working directory for trial's
C{mktemp}, which trial itself makes.
"""

import os
from collections.abc import Iterator

import pytest
from twisted.trial.unittest import TestCase


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run trial's reactor-driving cases before the first plain function parks the reactor."""
    items.sort(key=lambda item: not issubclass(getattr(item, "cls", None) or object, TestCase))


@pytest.fixture(autouse=True, scope="session")
def working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave nothing in the directory from which the tests are run."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("tests"))
    yield
    os.chdir(before)
