"""
The environment and the file C{.env}: which names mean something to the server, and which look like
a mistake.

A setting that is silently ignored may leave a server open that was meant to have a token. So what
cannot be read, or is not known, is either refused or told.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from dotenv.parser import parse_stream

from statusjob.server.settings import SETTINGS, BadSetting

#: Names that clients and tests use.
_NAMES_OF_OTHERS = frozenset({"STATUSJOB_URL", "STATUSJOB_TOKEN_FILE", "STATUSJOB_TEST_POSTGRES"})
_KNOWN = frozenset(setting.variable for setting in SETTINGS) | _NAMES_OF_OTHERS
#: Every pod of a Kubernetes namespace has variables of this form, for each Service in it.
_KUBERNETES = re.compile(
    r"\ASTATUSJOB(?:_\w+)?_"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)\Z"
)
#: How alike a name and that of the token must be to be taken for it.
_ALIKE = 0.85


@dataclass(frozen=True)
class EnvFile:
    """
    What was read of C{.env}.

    @ivar path: the absolute path of the file.
    @ivar found: whether it is there.
    @ivar values: the values by name.
    @ivar warnings: one line for each line of the file that was not understood.
    """

    path: Path
    found: bool = False
    values: dict[str, str | None] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


def read_env_file(path: Path) -> EnvFile:
    """
    Read a file C{.env}, if there is one.

    @raise BadSetting: if it is there and cannot be read, if a line with a name of ours cannot be
        read, or if it sets a name that begins as ours do, however it is written, and is unknown.
    """
    path = Path(os.path.abspath(path))
    if not os.path.lexists(path):
        return EnvFile(path)
    if not path.is_file():
        raise BadSetting(f"{path} is not a file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"cannot read {path}: {error}") from None
    values: dict[str, str | None] = {}
    warnings = []
    for binding in parse_stream(io.StringIO(text)):
        place = f"line {binding.original.line} of {path}"
        if binding.error or (binding.key in _KNOWN and binding.value is None):
            # The line itself is not shown: it may hold a token.
            if _mentions_ours(binding.original.string):
                raise BadSetting(f'{place} must have the form NAME="value"')
            warnings.append(f"{place} was ignored: it is not of the form NAME=value")
        elif binding.key is not None:
            if _looks_like_ours(binding.key):
                raise BadSetting(f"{place}: there is no setting {binding.key}")
            values[binding.key] = binding.value
    return EnvFile(path, True, values, tuple(warnings))


def check_environment(environment: Iterable[str]) -> list[str]:
    """
    Look for names in the environment that are probably mistakes.

    @param environment: the names of all variables.
    @return: a warning for each unknown name that begins as ours do.
    @raise BadSetting: if a name looks like a misspelt C{STATUSJOB_TOKEN}.
    """
    warnings = []
    for name in sorted(environment):
        if not _looks_like_ours(name) or _KUBERNETES.match(name):
            continue
        if get_close_matches(name.upper(), ["STATUSJOB_TOKEN"], cutoff=_ALIKE):
            raise BadSetting(f"{name} is not a setting: did you mean STATUSJOB_TOKEN?")
        if name.startswith("STATUSJOB_"):
            warnings.append(f"there is no setting {name}")
    return warnings


def _looks_like_ours(name: str) -> bool:
    """Whether a name is unknown, but begins as ours do, however its words are written."""
    letters = re.sub("[^A-Z]", "", name.upper())
    return letters.startswith("STATUSJOB") and name not in _KNOWN


def _mentions_ours(line: str) -> bool:
    """Whether a line that cannot be read was probably meant to be a setting, and is no prose."""
    words = re.findall(r"\w+", line.upper())
    begins = words[1:2] if words[:1] == ["EXPORT"] else words[:1]
    return any(word.startswith("STATUSJOB_") for word in words) or not _KNOWN.isdisjoint(begins)
