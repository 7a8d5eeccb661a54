"""The original contract's poll, C{GET {base}/status}, under every base."""

from __future__ import annotations

from statusjob.jobs import new_job_id
from tests.helpers.servers import EPOCH, ServerTestCase

UNKNOWN = new_job_id(EPOCH, 7)


class DemoStatusTests(ServerTestCase):
    """C{GET /status}: the status of the demo job."""

    def setUp(self) -> None:
        self.fake = self.serve(STATUS_DELAY="15000", STATUSJOB_ERROR_RATE="0")

    def test_the_body_is_the_result_and_nothing_more(self) -> None:
        reply = self.ask(self.fake, "GET", "/status")
        self.assertEqual((reply.code, reply.body), (200, b'{"result":"pending"}'))
        self.assertEqual(reply.header("Content-Type"), "application/json")

    def test_the_demo_job_completes_after_the_set_delay(self) -> None:
        self.fake.clock.pump([0.5] * 29)
        self.assertEqual(self.ask(self.fake, "GET", "/status").json, {"result": "pending"})
        self.fake.clock.pump([0.5] * 2)
        reply = self.ask(self.fake, "GET", "/status")
        self.assertEqual((reply.code, reply.body), (200, b'{"result":"completed"}'))

    def test_the_demo_job_fails_at_the_set_rate(self) -> None:
        fake = self.serve(STATUS_DELAY="1000", STATUSJOB_ERROR_RATE="1")
        fake.clock.pump([0.5] * 4)
        self.assertEqual(self.ask(fake, "GET", "/status").body, b'{"result":"error"}')

    def test_everything_else_is_in_headers(self) -> None:
        reply = self.ask(self.fake, "GET", "/status")
        link = reply.header("Link")
        assert link is not None
        job = link.removeprefix("</jobs/").removesuffix('>; rel="monitor"')
        self.assertEqual(link, f'</jobs/{job}>; rel="monitor"')
        self.assertEqual(reply.header("ETag"), f'"{job}.pending"')
        self.assertEqual(reply.header("Last-Modified"), "Sat, 23 Nov 2024 18:00:00 GMT")
        self.assertEqual(reply.header("Cache-Control"), "private, no-cache")
        self.assertEqual(reply.header("Vary"), "Prefer")
        self.assertEqual(self.ask(self.fake, "GET", f"/jobs/{job}").json["kind"], "demo")

    def test_last_modified_is_when_the_result_changed(self) -> None:
        self.fake.clock.pump([0.5] * 14)
        reply = self.ask(self.fake, "GET", "/status")
        self.assertEqual(reply.header("Last-Modified"), "Sat, 23 Nov 2024 18:00:00 GMT")
        self.fake.clock.pump([0.5] * 30)
        reply = self.ask(self.fake, "GET", "/status")
        self.assertEqual(reply.header("Last-Modified"), "Sat, 23 Nov 2024 18:00:15 GMT")

    def test_retry_after_grows_with_age_and_ends_with_the_job(self) -> None:
        waits = []
        for _ in range(3):
            waits.append(int(self.ask(self.fake, "GET", "/status").header("Retry-After") or 0))
            self.fake.clock.pump([0.5] * 14)
        # r + 2*sqrt(r*age), r = 2 s, at the ages 0, 7 and 14, rounded up.
        self.assertEqual(waits, [2, 10, 13])
        self.assertIsNone(self.ask(self.fake, "GET", "/status").header("Retry-After"))

    def test_retry_after_survives_a_clock_that_is_set_back(self) -> None:
        self.fake.clock.rightNow -= 3600
        wait = self.ask(self.fake, "GET", "/status").header("Retry-After")
        self.assertGreaterEqual(int(wait or 0), 1)

    def test_head_is_get_without_the_body(self) -> None:
        reply = self.ask(self.fake, "HEAD", "/status")
        shown = self.ask(self.fake, "GET", "/status")
        self.assertEqual((reply.code, reply.body), (200, b""))
        self.assertEqual(reply.header("Content-Length"), "20")
        for name in ("ETag", "Last-Modified", "Cache-Control", "Vary", "Link", "Retry-After"):
            self.assertEqual(reply.header(name), shown.header(name), name)

    def test_every_start_makes_another_entity(self) -> None:
        other = self.serve()
        tags = {self.ask(each, "GET", "/status").header("ETag") for each in (self.fake, other)}
        self.assertEqual(len(tags), 2)


class JobStatusTests(ServerTestCase):
    """C{GET /jobs/{id}/status}: the status of any job."""

    def setUp(self) -> None:
        self.fake = self.serve()
        self.job = self.create(self.fake, kind="video-translation")["id"]
        self.path = f"/jobs/{self.job}/status"

    def report(self, **members: object) -> None:
        reply = self.ask(self.fake, "PATCH", f"/jobs/{self.job}", body=members)
        self.assertEqual(reply.code, 200, reply.body)

    def test_every_result_is_shown(self) -> None:
        self.assertEqual(self.ask(self.fake, "GET", self.path).body, b'{"result":"pending"}')
        self.report(result="completed", output={"x": 1})
        self.assertEqual(self.ask(self.fake, "GET", self.path).body, b'{"result":"completed"}')
        failed = self.create(self.fake)["id"]
        self.ask(self.fake, "PATCH", f"/jobs/{failed}", body={"result": "error"})
        reply = self.ask(self.fake, "GET", f"/jobs/{failed}/status")
        self.assertEqual((reply.code, reply.body), (200, b'{"result":"error"}'))

    def test_a_result_makes_another_entity_and_progress_does_not(self) -> None:
        tag = self.ask(self.fake, "GET", self.path).header("ETag")
        self.assertEqual(tag, f'"{self.job}.pending"')
        self.report(progress=0.5)
        self.assertEqual(self.ask(self.fake, "GET", self.path).header("ETag"), tag)
        self.report(result="completed")
        reply = self.ask(self.fake, "GET", self.path)
        self.assertEqual(reply.header("ETag"), f'"{self.job}.completed"')
        self.assertIsNone(reply.header("Retry-After"))

    def test_an_entity_that_the_client_has_is_not_sent_again(self) -> None:
        tag = f'"{self.job}.pending"'
        for value in (tag, f"W/{tag}", f'"other", W/{tag} ,"more"', "*"):
            reply = self.ask(self.fake, "GET", self.path, headers={"If-None-Match": value})
            self.assertEqual((reply.code, reply.body), (304, b""), value)
            self.assertEqual(reply.header("ETag"), tag)
            self.assertEqual(reply.header("Retry-After"), "2")
            self.assertEqual(reply.header("Cache-Control"), "private, no-cache")
            self.assertEqual(reply.header("Vary"), "Prefer")
            self.assertIsNone(reply.header("Content-Length"))

    def test_tags_may_come_in_several_headers(self) -> None:
        values = ['"other"', f'"{self.job}.pending"']
        reply = self.ask(self.fake, "GET", self.path, headers={"If-None-Match": values})
        self.assertEqual(reply.code, 304)

    def test_an_entity_that_the_client_does_not_have_is_sent(self) -> None:
        for value in (f'"{self.job}.completed"', f"{self.job}.pending", '"', ""):
            reply = self.ask(self.fake, "GET", self.path, headers={"If-None-Match": value})
            self.assertEqual((reply.code, reply.json), (200, {"result": "pending"}), value)

    def test_if_modified_since_is_ignored(self) -> None:
        later = {"If-Modified-Since": "Sat, 23 Nov 2030 18:00:00 GMT"}
        self.assertEqual(self.ask(self.fake, "GET", self.path, headers=later).code, 200)

    def test_head_is_answered_304_like_get(self) -> None:
        given = {"If-None-Match": f'"{self.job}.pending"'}
        self.assertEqual(self.ask(self.fake, "HEAD", self.path, headers=given).code, 304)

    def test_links_carry_the_path_of_the_public_url(self) -> None:
        fake = self.serve(STATUSJOB_PUBLIC_URL="http://jobs.example/base/")
        link = self.ask(fake, "GET", "/status").header("Link") or ""
        self.assertTrue(link.startswith("</base/jobs/"), link)

    def test_an_unknown_job_is_a_problem(self) -> None:
        for unknown in (UNKNOWN, "nonsense", self.job + "0", "..", "%00"):
            reply = self.ask(self.fake, "GET", f"/jobs/{unknown}/status")
            self.assert_problem(reply, 404, "unknown-job")
