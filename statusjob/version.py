"""The version of the installed package."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """
    Read the version from the metadata of the installed package.

    @return: the version; C{0+unknown} for a source tree that was never installed.
    """
    try:
        return version("statusjob")
    except PackageNotFoundError:
        return "0+unknown"


__version__ = installed_version()
