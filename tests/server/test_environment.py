"""The file C{.env} and the environment: mistakes are refused or told, never ignored."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.environment import EnvFile, check_environment, read_env_file
from statusjob.server.settings import SETTINGS, BadSetting
from tests.helpers.servers import directory

VARIABLES = [setting.variable for setting in SETTINGS]


class EnvFileTests(SynchronousTestCase):
    """What is read of C{.env}."""

    def setUp(self) -> None:
        self.path = directory(self) / ".env"

    def read(self, text: str) -> EnvFile:
        self.path.write_text(text)
        return read_env_file(self.path)

    def refusal(self, text: str) -> str:
        self.path.write_text(text)
        message = str(self.assertRaises(BadSetting, read_env_file, self.path))
        self.assertEqual(message.splitlines(), [message])
        self.assertIn(str(self.path), message)
        return message

    def test_it_need_not_be_there(self) -> None:
        self.assertEqual(read_env_file(self.path), EnvFile(self.path))

    def test_values_may_be_quoted_and_exported(self) -> None:
        read = self.read("# a comment\nPORT=3\nexport STATUS_DELAY='50 00'\nOTHER=\"a\"\n")
        self.assertEqual(read.values, {"PORT": "3", "STATUS_DELAY": "50 00", "OTHER": "a"})
        self.assertEqual((read.found, read.warnings), (True, ()))

    def test_an_unreadable_line_with_a_name_of_ours_is_refused_without_showing_it(self) -> None:
        for line in (
            'STATUSJOB_TOKEN="swordfish',
            "STATUSJOB_TOKEN: swordfish",
            "STATUSJOB_TOKEN swordfish",
            "statusjob_token: swordfish",
            "export STATUSJOB_TOKEN: swordfish",
            "STATUSJOB_TOKEN",
            "- STATUSJOB_TOKEN: swordfish",
            "PORT: 80 swordfish",
            "STATUS_DELAY='swordfish",
        ):
            message = self.refusal(f"A=b\n{line}\n")
            self.assertIn("line 2", message, line)
            self.assertNotIn("swordfish", message)

    def test_prose_is_told_and_ignored(self) -> None:
        read = self.read("Settings of the server.\nThe PORT is below.\nPORT=3\nUse: wisely\n")
        self.assertEqual(read.values, {"PORT": "3"})
        self.assertEqual([each.split()[1] for each in read.warnings], ["1", "2", "4"])

    def test_a_name_that_only_looks_like_a_setting_is_refused(self) -> None:
        for name in ("STATUSJOB_TOKENS", "STATUSJOB_PORT", "STATUSJOB_COLOUR"):
            self.assertIn(name, self.refusal(f"{name}=1\n"))

    def test_another_spelling_of_the_token_in_the_file_is_refused(self) -> None:
        for name in ("statusjob_token", "STATUSJOBTOKEN", "STATUS_JOB_TOKEN", "STATUSJOB-TOKEN"):
            message = self.refusal(f"{name}=swordfish\n")
            self.assertIn(name, message)
            self.assertNotIn("swordfish", message)

    def test_names_of_clients_are_known(self) -> None:
        self.assertEqual(self.read("STATUSJOB_URL=http://localhost:8080\n").warnings, ())

    def test_what_is_no_file_is_refused(self) -> None:
        for make in (
            lambda: self.path.mkdir(),
            lambda: self.path.symlink_to("nowhere"),
            lambda: os.mkfifo(self.path),
        ):
            make()
            message = str(self.assertRaises(BadSetting, read_env_file, self.path))
            self.assertIn("is not a file", message)
            self.path.rmdir() if self.path.is_dir() else self.path.unlink()

    @given(st.text(max_size=60))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            self.path.write_text(text)
        except UnicodeEncodeError:
            return
        try:
            read_env_file(self.path)
        except BadSetting as error:
            self.assertIn(str(self.path), str(error))


class EnvironmentTests(SynchronousTestCase):
    """Names in the environment."""

    def test_settings_and_names_of_other_programs_are_no_mistakes(self) -> None:
        names = [*VARIABLES, "PATH", "STATUS", "JOB_TOKEN", "MY_STATUSJOB_TOKEN", "STATUS_TOKEN"]
        self.assertEqual(check_environment(names), [])

    def test_an_unknown_name_is_told(self) -> None:
        (warning,) = check_environment(["STATUSJOB_COLOUR"])
        self.assertIn("STATUSJOB_COLOUR", warning)

    def test_a_name_that_is_nearly_that_of_the_token_is_refused(self) -> None:
        for name in (
            "STATUSJOB_TOKENS",
            "STATUSJOB_TOKEN_",
            "STATUSJOBTOKEN",
            "STATUS_JOB_TOKEN",
            "STATUSJOB_TOKE",
            "statusjob_token",
        ):
            message = str(self.assertRaises(BadSetting, check_environment, [name]))
            self.assertIn("STATUSJOB_TOKEN", message)

    def test_what_kubernetes_sets_for_a_service_of_our_name_is_not_ours(self) -> None:
        for service in ("STATUSJOB", "STATUSJOB_API"):
            names = [
                f"{service}_{suffix}"
                for suffix in (
                    "SERVICE_HOST",
                    "SERVICE_PORT",
                    "SERVICE_PORT_HTTP",
                    "PORT",
                    "PORT_8080_TCP",
                    "PORT_8080_TCP_ADDR",
                    "PORT_8080_TCP_PROTO",
                )
            ]
            self.assertEqual(check_environment(names), [])

    def test_no_setting_has_a_name_that_kubernetes_may_set(self) -> None:
        self.assertNotIn("STATUSJOB_PORT", VARIABLES)
