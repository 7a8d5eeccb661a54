"""Settings: where a value comes from, and which values are refused."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.python import usage
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.settings import SETTINGS, BadSetting, Settings, resolve
from statusjob.server.tap import Options
from tests.helpers.servers import directory

#: A value for each setting, as an operator writes it, and what it means.
GIVEN: dict[str, tuple[str, Any]] = {
    "port": ("3000", 3000),
    "status-delay": ("5000", 5.0),
    "error-rate": ("0.5", 0.5),
    "endpoint": ("unix:/run/statusjob", ("unix:/run/statusjob",)),
    "database": ("/var/lib/jobs.sqlite", "/var/lib/jobs.sqlite"),
    "token": ("one, two,", ("one", "two")),
    "private": ("on", True),
    "public-url": ("https://jobs.example/base/", "https://jobs.example/base"),
    "allow-net": ("10.0.0.0/8", (ip_network("10.0.0.0/8"),)),
    "retry-schedule": ("0,1.5, 60", (0.0, 1.5, 60.0)),
    "retention": ("60", 60.0),
    "max-watchers": ("500", 500),
    "max-job-watchers": ("0", 0),
    "max-webhooks": ("1000", 1000),
    "max-job-webhooks": ("0", 0),
    "drain": ("2.5", 2.5),
    "shutdown-delay": ("5", 5.0),
}
#: The one setting that cannot be alone.
TOKEN = {"token": "one"}


class SourceTests(SynchronousTestCase):
    """An option wins over a variable, a variable over C{.env}, and that over the default."""

    def test_the_defaults(self) -> None:
        settings = resolve({}, {}, {})
        self.assertEqual(
            settings,
            Settings(
                port=8080,
                status_delay=15.0,
                error_rate=0.2,
                endpoint=(),
                database="statusjob.sqlite",
                token=(),
                private=False,
                public_url=None,
                allow_net=(),
                retry_schedule=(0, 5, 30, 120, 600, 3600, 21600, 86400),
                retention=604800.0,
                max_watchers=20_000,
                max_job_watchers=1_000,
                max_webhooks=100,
                max_job_webhooks=20,
                drain=8.0,
                shutdown_delay=0.0,
            ),
        )
        self.assertEqual(settings.prefix, "")

    def test_webhooks_may_go_to_this_machine_only_without_a_token(self) -> None:
        net = ip_network("10.0.0.0/8")
        loopback = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
        for token, allow, networks in (
            ({}, {}, loopback),
            ({}, {"allow-net": [str(net)]}, (*loopback, net)),
            (TOKEN, {}, ()),
            (TOKEN, {"allow-net": [str(net)]}, (net,)),
        ):
            settings = resolve({**token, **allow}, {}, {})
            self.assertEqual(settings.webhook_networks, networks)

    def test_every_setting_can_be_an_option_a_variable_or_in_the_file(self) -> None:
        self.assertEqual({setting.option for setting in SETTINGS}, set(GIVEN))
        for setting in SETTINGS:
            text, value = GIVEN[setting.option]
            places: list[Any] = [
                ({setting.option: [text] if setting.kind == "list" else text}, {}, {}),
                ({}, {setting.variable: text}, {}),
                ({}, {}, {setting.variable: text}),
            ]
            for options, environment, dotenv in places:
                if setting.option != "token":
                    options = {**TOKEN, **options}
                settings = resolve(options, environment, dotenv)
                self.assertEqual(getattr(settings, setting.attribute), value, setting.option)

    def test_an_option_wins_over_a_variable_and_that_over_the_file(self) -> None:
        option, environment, dotenv = {"port": "1"}, {"PORT": "2"}, {"PORT": "3"}
        self.assertEqual(resolve(option, environment, dotenv).port, 1)
        self.assertEqual(resolve({}, environment, dotenv).port, 2)
        self.assertEqual(resolve({}, {}, dotenv).port, 3)

    def test_a_list_of_options_replaces_that_of_the_variable(self) -> None:
        settings = resolve({"endpoint": ["unix:a"]}, {"STATUSJOB_ENDPOINT": "unix:b unix:c"}, {})
        self.assertEqual(settings.endpoint, ("unix:a",))

    def test_empty_variables_and_lists_count_as_not_given(self) -> None:
        settings = resolve({"endpoint": []}, {"PORT": "", "STATUSJOB_TOKEN": ""}, {"PORT": "3"})
        self.assertEqual((settings.port, settings.token), (3, ()))

    def test_a_value_that_is_not_used_is_not_checked(self) -> None:
        self.assertEqual(resolve({"port": "1"}, {"PORT": "nonsense"}, {}).port, 1)

    def test_a_flag_can_be_on_or_off(self) -> None:
        for text, value in (("1", True), ("TRUE", True), ("0", False), ("off", False)):
            settings = resolve(TOKEN, {"STATUSJOB_PRIVATE": text}, {})
            self.assertIs(settings.private, value, text)

    def test_networks_and_endpoints_can_be_several(self) -> None:
        settings = resolve(
            {"allow-net": ["10.0.0.0/8", "fd00::/8,192.0.2.1"]},
            {"STATUSJOB_ENDPOINT": "tcp:1 \n unix:a"},
            {},
        )
        self.assertEqual([str(n) for n in settings.allow_net][1:], ["fd00::/8", "192.0.2.1/32"])
        self.assertEqual(settings.endpoint, ("tcp:1", "unix:a"))

    def test_the_prefix_is_the_path_of_the_public_url(self) -> None:
        for url, prefix in (("http://x/a/b/", "/a/b"), ("http://x/", ""), ("http://x", "")):
            self.assertEqual(resolve({"public-url": url}, {}, {}).prefix, prefix)

    def test_the_token_is_not_in_the_repr_of_settings(self) -> None:
        self.assertNotIn("swordfish", repr(resolve({"token": "swordfish"}, {}, {})))


class RefusalTests(SynchronousTestCase):
    """Each bad value is refused with one line that names it and says what it must be."""

    BAD = (
        ("port", ("nonsense", "-1", "65536", "80.5", "٨٠", "8" * 5000)),
        ("status-delay", ("fast", "-1", "nan", "inf")),
        ("error-rate", ("1.1", "-0.1", "20%", "nan")),
        ("database", ("postgresql://host/db", "postgres:db")),
        ("token", ("two words", "ключ", "a\tb", "one,tw\x00o", ",", " ", '"one"', "'one'", "a=b")),
        ("private", ("maybe", "2")),
        (
            "public-url",
            (
                "jobs.example",
                "/base",
                "ftp://jobs.example",
                "https://",
                "https://user@jobs.example",
                "https://jobs.example?x=1",
                "https://jobs.example#x",
                "https://jobs.example:99999",
                "https://jobs.example:0",
                "https://[::1",
                "https://jobs example",
                "https://jobs.example\n/x",
            ),
        ),
        ("allow-net", ("10.0.0.1/8", "everywhere", "10.0.0.0/33")),
        ("retry-schedule", ("5,30", "0,soon", "0,-1", "0,,5", "0,1e9", ",")),
        ("retention", ("-1", "for ever", "inf")),
        ("max-watchers", ("-1", "1.5", "20001", "9" * 5000, "\u0663")),
        ("drain", ("-1", "3601", "nan")),
    )

    def message(self, *places: Any) -> str:
        message = str(self.assertRaises(BadSetting, resolve, *places))
        self.assertEqual(message.splitlines(), [message])
        return message

    def test_the_message_names_the_setting_and_its_value(self) -> None:
        by_option = {setting.option: setting for setting in SETTINGS}
        for option, texts in self.BAD:
            setting = by_option[option]
            for text in texts:
                message = self.message({}, {setting.variable: text}, {})
                name, _, why = message.partition(": ")
                shown = "" if option == "token" else f" {text!r}"
                self.assertEqual(name, setting.variable + shown)
                self.assertTrue(why, message)

    def test_the_message_names_an_option_with_its_dashes(self) -> None:
        self.assertTrue(self.message({"port": "x"}, {}, {}).startswith("--port 'x': "))
        self.assertTrue(self.message({"allow-net": ["10.0.0.0/8", "x"]}, {}, {}))

    def test_a_token_is_never_shown(self) -> None:
        self.assertNotIn("swordfish", self.message({"token": "sword fish swordfish"}, {}, {}))

    def test_postgresql_is_refused_as_not_supported_yet(self) -> None:
        message = self.message({"database": "postgresql://user@host/db"}, {}, {})
        self.assertIn("not supported yet", message)

    def test_private_needs_a_token(self) -> None:
        self.assertIn("STATUSJOB_TOKEN", self.message({"private": True}, {}, {}))


class OptionsTests(SynchronousTestCase):
    """What twistd and twist parse, in a working directory of its own."""

    def setUp(self) -> None:
        self.directory = directory(self)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.directory)
        self.environment: dict[str, str] = {}
        self.patch(os, "environ", self.environment)

    def parse(self, *arguments: str) -> Settings:
        options = Options()
        options.parseOptions(list(arguments))
        return options.settings

    def test_without_options_all_settings_have_their_defaults(self) -> None:
        self.assertEqual(self.parse(), resolve({}, {}, {}))

    def test_every_option_is_understood(self) -> None:
        arguments = [
            f"--{option}" if option == "private" else f"--{option}={text}"
            for option, (text, _) in GIVEN.items()
        ]
        settings = self.parse(*arguments)
        for setting in SETTINGS:
            value = GIVEN[setting.option][1]
            self.assertEqual(getattr(settings, setting.attribute), value, setting.option)

    def test_an_option_that_is_repeated_makes_a_list(self) -> None:
        settings = self.parse("--endpoint=unix:a", "--endpoint", "unix:b")
        self.assertEqual(settings.endpoint, ("unix:a", "unix:b"))

    def test_options_win_over_the_environment_and_that_over_the_file(self) -> None:
        Path(".env").write_text("# a comment\nPORT=3\nSTATUS_DELAY='5000'\n\nexport X=y\nODD\n")
        settings = self.parse()
        self.assertEqual((settings.port, settings.status_delay), (3, 5.0))
        self.environment["PORT"] = "2"
        self.assertEqual(self.parse().port, 2)
        self.assertEqual(self.parse("--port=1").port, 1)

    def refusal(self, *arguments: str) -> str:
        """Give the one line with which the start ends."""
        error = self.assertRaises(SystemExit, self.parse, *arguments)
        (line,) = str(error.code).splitlines()
        return line

    def test_a_bad_value_ends_the_start_with_one_line(self) -> None:
        self.assertIn("statusjob: --drain 'soon': ", self.refusal("--drain=soon"))
        Path(".env").write_text("PORT=nonsense\n")
        self.assertIn("statusjob: PORT 'nonsense': ", self.refusal())
        self.environment["STATUSJOB_TOKEN"] = "sword fish"
        self.assertNotIn("sword", self.refusal("--port=1"))

    def test_a_file_that_cannot_be_read_ends_the_start_with_one_line(self) -> None:
        Path(".env").write_bytes(b"PORT=\xff\n")
        self.assertIn(f"cannot read {self.directory / '.env'}", self.refusal())

    def test_a_file_that_is_none_ends_the_start(self) -> None:
        for make in (lambda: Path(".env").mkdir(), lambda: Path(".env").symlink_to("nowhere")):
            make()
            self.assertIn(f"{self.directory / '.env'} is not a file", self.refusal())
            Path(".env").rmdir() if Path(".env").is_dir() else Path(".env").unlink()

    def test_the_file_is_read_where_twistd_will_run(self) -> None:
        Path("run").mkdir()
        Path("run/.env").write_text("PORT=3\n")
        Path(".env").write_text("PORT=4\n")
        options = Options()
        twistd = usage.Options()
        twistd["rundir"] = "run"
        options.parent = twistd
        options.parseOptions([])
        self.assertEqual(options.settings.port, 3)
        assert options.env_file is not None
        self.assertEqual(options.env_file.path, self.directory / "run" / ".env")

    def test_what_was_not_understood_is_kept_to_be_logged(self) -> None:
        Path(".env").write_text("Prose, not a setting.\nPORT=3\n")
        self.environment["STATUSJOB_COLOUR"] = "red"
        options = Options()
        options.parseOptions([])
        self.assertEqual(len(options.warnings), 2, options.warnings)

    def test_an_unknown_option_is_a_usage_error(self) -> None:
        for arguments in (["--colour=red"], ["--port"], ["--private=yes"], ["stray"]):
            self.assertRaises(UsageError, self.parse, *arguments)

    def test_help_names_every_option_and_its_variable(self) -> None:
        text = " ".join(str(Options()).split())
        for setting in SETTINGS:
            self.assertIn(f"--{setting.option}", text)
            self.assertIn(setting.variable, text)
