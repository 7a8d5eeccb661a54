"""For pytest only: a working directory for trial's C{mktemp}, which trial itself makes."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave nothing in the directory from which the tests are run."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("tests"))
    yield
    os.chdir(before)
