"""What the benchmarks make of what they measure."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.figures import Failed, Goal, Sample, compare, parse_wrk, ratio, table

WRK = """\
Running 4s test @ http://127.0.0.1:8151/status
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   838.45us  132.71us   4.59ms   94.17%
    Req/Sec    76.51k     3.02k   79.86k    87.50%
  304434 requests in 4.01s, 95.23MB read
Requests/sec:  75914.14
Transfer/sec:     23.75MB
"""


class WrkTests(SynchronousTestCase):
    def test_requests_and_seconds_are_read(self) -> None:
        self.assertEqual(parse_wrk(WRK), (304434, 4.01))

    def test_minutes_are_read(self) -> None:
        self.assertEqual(parse_wrk(WRK.replace("4.01s", "1.50m")), (304434, 90.0))

    def test_failed_requests_are_no_result(self) -> None:
        for line in (
            "  Non-2xx or 3xx responses: 7\n",
            "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
        ):
            self.assertRaises(Failed, parse_wrk, WRK + line)

    def test_no_requests_are_no_result(self) -> None:
        self.assertRaises(Failed, parse_wrk, WRK.replace("304434", "0"))
        self.assertRaises(Failed, parse_wrk, "unable to connect to 127.0.0.1:8151")


class FiguresTests(SynchronousTestCase):
    # The second round was disturbed, for both.
    ours = (Sample(1000, 2.0, 0.01), Sample(1000, 2.0, 0.05), Sample(1000, 2.0, 0.02))
    theirs = (Sample(500, 2.0, 0.02), Sample(500, 2.0, 0.05), Sample(500, 2.0, 0.02))

    def test_rate_and_cost_of_a_sample(self) -> None:
        self.assertEqual(self.ours[0].rate, 500)
        self.assertAlmostEqual(self.ours[0].cost, 10)

    def test_the_ratio_is_the_median_of_those_of_each_round(self) -> None:
        self.assertAlmostEqual(ratio(self.theirs, self.ours), 2.0)
        self.assertAlmostEqual(ratio(self.ours, self.theirs), 0.5)

    def test_contenders_are_compared_with_the_first_one(self) -> None:
        lines = compare({"ours": self.ours, "theirs": self.theirs}).splitlines()
        self.assertEqual(lines[2], "| ours | 500 | 1.00 | 20.0 | 1.00 | 1% |")
        self.assertEqual(lines[3], "| theirs | 250 | 0.50 | 40.0 | 2.00 | 1% |")

    def test_goals_are_judged(self) -> None:
        goals = [Goal("ours", "theirs", 0.5), Goal("theirs", "ours", 1.5)]
        said = compare({"ours": self.ours, "theirs": self.theirs}, goals)
        self.assertIn("- CPU of ours against theirs: 0.500, at most 0.500: **yes**", said)
        self.assertIn("- CPU of theirs against ours: 2.000, at most 1.500: **no**", said)

    def test_goals_about_those_that_were_not_measured_are_left_out(self) -> None:
        self.assertNotIn("CPU of", compare({"ours": self.ours}, [Goal("ours", "theirs", 0.5)]))

    def test_columns_but_the_first_are_numbers(self) -> None:
        self.assertEqual(
            table(["", "MiB"], [["idle", "62.0"]]),
            "|  | MiB |\n| --- | ---: |\n| idle | 62.0 |",
        )
