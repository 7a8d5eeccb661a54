"""The registry: which URLs and secrets are acceptable, and one webhook per URL and job."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail

from statusjob.contract import signing
from statusjob.contract.codec import BadInput
from statusjob.contract.webhooks import URL_LIMIT, NewScopedWebhook
from statusjob.jobs import EventType
from statusjob.server.errors import UnknownJob, UnknownWebhook, WebhookConflict
from statusjob.server.webhooks.registry import DEFAULT_LIMITS, Registered, Registrations
from statusjob.server.webhooks.urls import origin_of
from tests.helpers.core import URL, CoreTestCase, hook
from tests.helpers.secrets import OTHER_SECRET, SECRET


class OriginTests(CoreTestCase):
    """Every URL of a webhook has an origin."""

    def test_an_origin_is_scheme_host_and_port(self) -> None:
        for url, origin in (
            ("http://receiver.example", "http://receiver.example:80"),
            ("https://receiver.example/hook?a=b#c", "https://receiver.example:443"),
            ("HTTPS://Receiver.Example:443/", "https://receiver.example:443"),
            ("http://user:secret@receiver.example:8080/", "http://receiver.example:8080"),
            ("http://[::1]:9000/", "http://[::1]:9000"),
            ("http://127.0.0.1/", "http://127.0.0.1:80"),
            ("https://bücher.example/", "https://xn--bcher-kva.example:443"),
        ):
            self.assertEqual(origin_of(url), origin)

    def test_a_url_that_is_not_absolute_http_is_refused(self) -> None:
        for url in (
            "",
            "receiver.example/hook",
            "//receiver.example/hook",
            "/hook",
            "ftp://receiver.example/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://",
            "http:///hook",
            "http://receiver.example:0/",
            "http://receiver.example:65536/",
            "http://receiver.example:http/",
            "http://[::1/",
            "http://receiver.example/a b",
            "http://receiver.example/\r\nX-Injected: 1",
            "http://receiver.example/\x7f",
            "http://receiver.example/" + "x" * URL_LIMIT,
        ):
            error = self.assertRaises(BadInput, origin_of, url)
            self.assertEqual(str(error), "invalid webhook URL", url)

    @given(st.one_of(st.text(max_size=40), st.text(max_size=40).map("http://{}".format)))
    def test_any_other_text_raises_only_bad_input(self, url: str) -> None:
        try:
            origin = origin_of(url)
        except BadInput:
            return
        self.assertRegex(origin, r"\Ahttps?://[^/\s]+:[0-9]{1,5}\Z")


class RegisterTests(CoreTestCase):
    """Webhooks that are registered by the original contract."""

    def setUp(self) -> None:
        self.box = self.core()
        self.job = self.create(self.box)

    def register(self, url: str = URL, **members: object) -> Registered:
        webhook = hook(url, **members)
        return self.successResultOf(self.box.registrations.register(self.job.id, webhook))

    def refusal(self, url: str = URL, **members: object) -> str:
        registering = self.box.registrations.register(self.job.id, hook(url, **members))
        return str(self.failureResultOf(registering, WebhookConflict).value)

    def count(self) -> int:
        return len(self.column(self.box, "SELECT id FROM webhooks"))

    def test_a_registration_has_an_id_and_a_valid_secret(self) -> None:
        registered = self.register()
        self.assertTrue(registered.id.startswith("wh_"))
        assert registered.secret is not None
        signing.check_secret(registered.secret)
        self.assertNotEqual(registered.secret, self.register("http://other.example/").secret)

    def test_the_representation_of_a_registration_does_not_show_the_secret(self) -> None:
        registered = self.register()
        assert registered.secret is not None
        self.assertNotIn(registered.secret, repr(registered))

    def test_a_client_may_bring_its_own_secret(self) -> None:
        self.assertEqual(self.register(secret=SECRET).secret, SECRET)

    def test_an_invalid_secret_is_refused_without_being_shown(self) -> None:
        for secret in ("", "hunter2", "whsec_", "whsec_c2hvcnQ=", "whsec_ü"):
            registering = self.box.registrations.register(self.job.id, hook(secret=secret))
            failure = self.failureResultOf(registering, BadInput)
            self.assertNotIn("hunter2", str(failure.value))
        self.assertEqual(self.count(), 0)

    def test_every_refusal_fails_the_deferred_instead_of_being_raised(self) -> None:
        registrations = self.box.registrations
        registered = self.register()
        for answer in (
            registrations.register(self.job.id, hook("not a URL")),
            registrations.register(self.job.id, hook(secret="hunter2")),
            registrations.add(NewScopedWebhook(url="not a URL")),
            registrations.rotate(registered.id, "hunter2"),
        ):
            self.failureResultOf(answer, BadInput)
        (secret,) = self.column(self.box, "SELECT secret FROM webhooks")
        self.assertEqual(secret, registered.secret)

    def test_the_same_url_again_is_the_same_webhook_and_shows_no_secret(self) -> None:
        first = self.register(secret=SECRET)
        for again in (self.register(), self.register(secret=SECRET)):
            self.assertEqual((again.id, again.secret), (first.id, None))
        self.assertEqual(self.count(), 1)

    def test_the_same_url_with_another_secret_or_other_events_is_refused(self) -> None:
        self.register(secret=SECRET)
        self.assertIn("another secret", self.refusal(secret=OTHER_SECRET))
        self.assertIn("other events", self.refusal(events=[EventType.ERROR]))

    def test_the_order_of_events_does_not_matter(self) -> None:
        first = self.register(events=[EventType.ERROR, EventType.COMPLETED, EventType.ERROR])
        self.assertEqual(self.register().id, first.id)

    def test_what_is_registered_already_needs_no_dns(self) -> None:
        first = self.register()
        wide = NewScopedWebhook(url=URL, kind="k")
        added, _ = self.successResultOf(self.box.registrations.add(wide))
        checked: list[str] = []

        def refuse(url: str) -> Deferred[None]:
            checked.append(url)
            return fail(BadInput("webhook address not allowed"))

        registrations = Registrations(self.box.store, check_address=refuse)
        again = self.successResultOf(registrations.register(self.job.id, hook(URL + "#a")))
        self.assertEqual(again.id, first.id)
        self.assertEqual(self.successResultOf(registrations.add(wide))[0].id, added.id)
        self.assertEqual(checked, [])
        self.failureResultOf(registrations.add(NewScopedWebhook(url=URL)), BadInput)
        self.assertEqual(checked, [URL])

    def test_another_spelling_of_a_url_is_the_same_webhook(self) -> None:
        first = self.register("http://localhost:9")
        for url in ("http://localhost:9/", "HTTP://LOCALHOST:9", "http://localhost:9/?#a"):
            self.assertEqual(self.register(url), Registered(first.id))
        self.assertNotEqual(self.register("http://localhost:9/a").id, first.id)

    def test_unregistering_removes_every_spelling_of_a_url(self) -> None:
        ids = [self.register(url).id for url in ("http://localhost:9", "http://localhost:9/a")]
        self.execute(self.box, "UPDATE webhooks SET normal_url = 'http://localhost:9/'")
        unregistering = self.box.registrations.unregister(self.job.id, "http://LOCALHOST:9#a")
        self.successResultOf(unregistering)
        for webhook_id in ids:
            self.failureResultOf(self.box.registrations.get(webhook_id), UnknownWebhook)

    def test_the_same_url_for_another_job_is_another_webhook(self) -> None:
        first = self.register(secret=SECRET)
        self.job = self.create(self.box)
        second = self.register(secret=OTHER_SECRET)
        self.assertNotEqual(first.id, second.id)

    def test_an_unregistered_url_can_be_registered_again(self) -> None:
        first = self.register()
        for _ in range(2):
            self.successResultOf(self.box.registrations.unregister(self.job.id, URL))
        second = self.register(secret=OTHER_SECRET)
        self.assertNotEqual(first.id, second.id)
        self.assertEqual(second.secret, OTHER_SECRET)

    def test_registering_for_an_unknown_job_fails(self) -> None:
        self.failureResultOf(self.box.registrations.register("nobody", hook()), UnknownJob)
        self.failureResultOf(self.box.registrations.unregister("nobody", URL), UnknownJob)

    def test_the_number_of_webhooks_per_job_is_bounded(self) -> None:
        for i in range(DEFAULT_LIMITS.job):
            self.register(f"http://r{i}.example/")
        self.assertIn("20 webhooks for this job", self.refusal())
        self.register("http://r0.example/")
        self.successResultOf(self.box.registrations.unregister(self.job.id, "http://r0.example/"))
        self.register()

    def test_one_backend_may_have_a_webhook_at_every_job(self) -> None:
        for _ in range(DEFAULT_LIMITS.wide + 1):
            self.job = self.create(self.box)
            self.register()

    def test_the_number_of_webhooks_for_kinds_and_for_all_jobs_is_bounded(self) -> None:
        add = self.box.registrations.add
        for i in range(DEFAULT_LIMITS.wide):
            kind = f"k{i}" if i % 2 else None
            self.successResultOf(add(NewScopedWebhook(url=f"http://r{i}.example/", kind=kind)))
        failure = self.failureResultOf(add(NewScopedWebhook(url=URL)), WebhookConflict)
        self.assertIn("100 webhooks for kinds and for all jobs", str(failure.value))
        self.register()
