"""C{GET /jobs}: jobs by pages, the newest first."""

from __future__ import annotations

from typing import Any

from statusjob.jobs import new_job_id
from tests.helpers.messages import Reply
from tests.helpers.servers import EPOCH, ServerTestCase


class ListTests(ServerTestCase):
    """A list of seven jobs, of two kinds and with every result."""

    def setUp(self) -> None:
        self.fake = self.serve()
        self.ids: list[str] = []
        for number in range(7):
            self.fake.clock.advance(0.001)
            self.ids.insert(0, self.create(self.fake, kind=f"kind-{number % 2}")["id"])
        self.ask(self.fake, "PATCH", f"/jobs/{self.ids[0]}", body={"result": "completed"})
        self.ask(self.fake, "PATCH", f"/jobs/{self.ids[1]}", body={"result": "error"})

    def page(self, query: str = "") -> Reply:
        return self.ask(self.fake, "GET", f"/jobs{query}")

    def listed(self, query: str = "") -> list[Any]:
        return [job["id"] for job in self.page(query).json["jobs"]]

    def test_the_newest_job_comes_first_and_is_shown_whole(self) -> None:
        reply = self.page()
        self.assertEqual((reply.code, reply.header("Content-Type")), (200, "application/json"))
        self.assertEqual(set(reply.json), {"jobs", "next"})
        self.assertIsNone(reply.json["next"])
        self.assertEqual(self.listed(), self.ids)
        for job in reply.json["jobs"]:
            self.assertEqual(job, self.ask(self.fake, "GET", f"/jobs/{job['id']}").json)

    def test_the_demo_job_is_left_out(self) -> None:
        kinds = {job["kind"] for job in self.page().json["jobs"]}
        self.assertEqual(kinds, {"kind-0", "kind-1"})
        self.assertEqual(self.listed("?kind=demo"), [])

    def test_a_cursor_leads_through_all_pages(self) -> None:
        pages, query = [], "?limit=3"
        while True:
            page = self.page(query).json
            pages.append([job["id"] for job in page["jobs"]])
            if page["next"] is None:
                break
            query = f"?limit=3&cursor={page['next']}"
        self.assertEqual(pages, [self.ids[:3], self.ids[3:6], self.ids[6:]])

    def test_a_full_last_page_has_no_cursor(self) -> None:
        self.assertIsNone(self.page("?limit=7").json["next"])
        self.assertIsNotNone(self.page("?limit=6").json["next"])

    def test_new_jobs_do_not_disturb_the_pages(self) -> None:
        cursor = self.page("?limit=3").json["next"]
        self.fake.clock.advance(1)
        self.create(self.fake)
        self.assertEqual(self.listed(f"?limit=3&cursor={cursor}"), self.ids[3:6])

    def test_a_cursor_whose_job_was_deleted_still_works(self) -> None:
        cursor = new_job_id(EPOCH, 0)
        self.assertEqual(self.listed(f"?cursor={cursor}"), [])
        self.assertEqual(self.listed(f"?cursor={new_job_id(EPOCH + 60, 0)}"), self.ids)

    def test_the_list_can_be_limited_to_a_result_and_a_kind(self) -> None:
        self.assertEqual(self.listed("?result=completed"), self.ids[:1])
        self.assertEqual(self.listed("?result=error"), self.ids[1:2])
        self.assertEqual(self.listed("?result=pending"), self.ids[2:])
        self.assertEqual(self.listed("?kind=kind-1"), self.ids[1::2])
        self.assertEqual(self.listed("?kind=kind-1&result=pending"), self.ids[3::2])
        self.assertEqual(self.listed("?kind=unheard-of"), [])

    def test_a_parameter_without_a_value_is_ignored(self) -> None:
        self.assertEqual(self.listed("?kind=&result=&cursor=&limit="), self.ids)

    def test_a_page_has_twenty_jobs_by_default(self) -> None:
        for _ in range(20):
            self.create(self.fake)
        self.assertEqual(len(self.listed()), 20)
        self.assertEqual(len(self.listed("?limit=100")), 27)

    def test_an_invalid_query_is_refused(self) -> None:
        for query in (
            "?limit=0",
            "?limit=101",
            "?limit=-1",
            "?limit=1.5",
            "?limit=many",
            "?limit=99999999999999999999999999",
            "?limit=1&limit=2",
            "?result=done",
            "?result=PENDING",
            "?kind=a%20b",
            "?kind=a%00b",
            "?kind=%ff",
            "?cursor=nonsense",
            "?cursor=%27%3B--",
            "?colour=red",
            "?%ff=1",
            "?token=secret",
        ):
            self.assert_problem(self.page(query), 400, "invalid-request")

    def test_head_is_get_without_the_body(self) -> None:
        reply = self.ask(self.fake, "HEAD", "/jobs")
        self.assertEqual((reply.code, reply.body), (200, b""))
