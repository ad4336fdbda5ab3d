"""What is sent, when, and in which order; with a target that only writes down."""

import threading
import time
import unittest

from reelay.courier import Courier
from reelay.errors import Refused, Unreachable
from reelay.message import completion, failure, progress_report


class Fake:
    """`troubles` are raised one after the other before anything is taken."""

    def __init__(self):
        self.told = []
        self.times = []
        self.troubles = []
        self.tries = 0
        self.gate = threading.Event()
        self.gate.set()
        self.closed = 0

    def tell(self, report):
        self.gate.wait(30)
        self.tries += 1
        if self.troubles:
            raise self.troubles.pop(0)
        self.told.append(report)
        self.times.append(time.monotonic())

    def ask(self, job_id):
        return {"told": [r.message for r in self.told if r.job_id == job_id]}

    def close(self):
        self.closed += 1

    @property
    def messages(self):
        return [report.message for report in self.told]


def step(job, stage, message):
    return progress_report(job, stage, 0.5, message, None)


class Couriers(unittest.TestCase):
    def courier(self, timeout=5.0, interval=0.15):
        self.fake = Fake()
        courier = Courier(lambda: self.fake, timeout, interval)
        self.addCleanup(courier.close)
        return courier

    def end(self, courier, job="job", strict=False):
        return courier.submit(completion(job, {}, "end"), strict)

    def test_only_the_latest_of_a_stage_is_sent_and_then_the_end(self):
        courier = self.courier(interval=60)
        for i in range(1000):
            courier.submit(step("job", "s", str(i)))
        self.end(courier).future.result(5)
        self.assertEqual(self.fake.messages, ["0", "999", "end"])

    def test_the_first_report_of_a_stage_goes_at_once_and_in_order(self):
        courier = self.courier(interval=60)
        began = time.monotonic()
        for stage in "abcdef":
            courier.submit(step("job", stage, stage))
        self.assertEqual(courier.ask("job").future.result(5), {"told": list("abcdef")})
        self.assertLess(time.monotonic() - began, 5)

    def test_a_second_report_of_a_stage_waits_for_the_interval(self):
        courier = self.courier(interval=0.3)
        courier.submit(step("job", "s", "1"))
        while not self.fake.told:
            time.sleep(0.001)
        courier.submit(step("job", "s", "2"))
        while len(self.fake.told) < 2:
            time.sleep(0.001)
        self.assertGreaterEqual(self.fake.times[1] - self.fake.times[0], 0.25)

    def test_what_comes_while_one_is_on_its_way_waits_for_the_interval_too(self):
        courier = self.courier(interval=0.3)
        self.fake.gate.clear()
        began = time.monotonic()
        courier.submit(step("job", "s", "1"))
        while courier._in_flight is None:
            time.sleep(0.001)
        courier.submit(step("job", "s", "2"))
        self.fake.gate.set()
        while len(self.fake.told) < 2:
            time.sleep(0.001)
        self.assertGreaterEqual(self.fake.times[1] - began, 0.25)

    def test_two_stages_that_alternate_are_batched_each(self):
        courier = self.courier(interval=60)
        for i in range(10000):
            courier.submit(step("job", "ab"[i % 2], str(i)))
        self.end(courier).future.result(5)
        self.assertEqual(self.fake.messages, ["0", "1", "9998", "9999", "end"])

    def test_stages_that_change_without_end_stay_bounded(self):
        courier = self.courier(interval=60)
        self.fake.gate.clear()
        for i in range(10000):
            courier.submit(step("job", str(i), str(i)))
        self.fake.gate.set()
        self.end(courier).future.result(5)
        self.assertLess(len(self.fake.told), 25)
        self.assertEqual(self.fake.messages[-2:], ["9999", "end"])

    def test_ends_go_before_the_progress_of_others(self):
        courier = self.courier(interval=60)
        self.fake.gate.clear()
        courier.submit(step("first", "s", "first"))
        for i in range(50):
            courier.submit(step(f"job{i}", "s", "progress"))
        end = self.end(courier, "late")
        self.fake.gate.set()
        end.future.result(5)
        self.assertLess(self.fake.messages.index("end"), 3)

    def test_an_end_is_tried_until_it_gets_through(self):
        courier = self.courier()
        self.fake.troubles = [Unreachable("away")] * 4
        with self.assertLogs("reelay") as logged:
            self.end(courier).future.result(5)
        self.assertEqual((self.fake.messages, self.fake.tries), (["end"], 5))
        self.assertEqual(len([r for r in logged.records if r.levelname == "WARNING"]), 1)

    def test_no_end_is_lost_among_many_jobs_and_threads(self):
        courier = self.courier(timeout=30)
        self.fake.troubles = [Unreachable("away")] * 3

        def work(number):
            for job in range(20):
                for i in range(50):
                    courier.submit(step(f"{number}-{job}", "s", str(i)))
                self.end(courier, f"{number}-{job}").future.result(30)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        ended = [r.job_id for r in self.fake.told if r.is_end]
        self.assertEqual(len(ended), 160)
        self.assertEqual(len(set(ended)), 160)
        for job in set(ended):
            self.assertTrue([r for r in self.fake.told if r.job_id == job][-1].is_end)

    def test_a_lost_answer_is_no_refusal(self):
        courier = self.courier()
        self.fake.troubles = [Unreachable("cut", may_have_arrived=True),
                              Refused("it has ended", "already_finished")]
        self.assertIsNone(self.end(courier, strict=True).future.result(5))

    def test_a_refusal_is_one(self):
        courier = self.courier()
        self.fake.troubles = [Unreachable("away"), Refused("it has ended", "already_finished")]
        error = self.end(courier, strict=True).future.exception(5)
        self.assertEqual(error.code, "already_finished")
        self.assertEqual(self.fake.tries, 2)

    def test_a_broken_target_does_not_stop_the_thread(self):
        courier = self.courier()
        self.fake.troubles = [ZeroDivisionError("bug")]
        self.assertIsNotNone(self.end(courier, "a", strict=True).future.exception(5))
        self.assertIsNone(self.end(courier, "b", strict=True).future.result(5))

    def test_close_sends_what_waits(self):
        courier = self.courier(interval=60)
        for i in range(10):
            courier.submit(step("job", "s", str(i)))
        courier.close().result(5)
        self.assertEqual(self.fake.messages[-1], "9")
        self.assertEqual(self.fake.closed, 1)
        with self.assertRaisesRegex(RuntimeError, "closed"):
            courier.submit(step("job", "s", "late"))

    def test_a_forked_child_does_not_wait_for_its_parents_end(self):
        courier = self.courier()
        self.fake.gate.clear()
        courier.submit(step("job", "s", "1"))
        courier.close()
        courier.after_fork()
        self.assertTrue(courier.close().done())
        self.fake.gate.set()

    def test_what_close_cannot_tell_is_logged_once(self):
        courier = self.courier(timeout=0.2)
        self.fake.troubles = [Unreachable("away")] * 1000
        with self.assertLogs("reelay", "ERROR") as logged:
            courier.submit(failure("job", "boom", "s"))
            courier.close().result(5)
            courier.abandon()
        self.assertEqual(len(logged.records), 1, logged.output)
        self.assertIn("job job: it could not be told that it failed: away", logged.output[0])

    def test_memory_stays_bounded_while_nobody_is_there(self):
        courier = self.courier(timeout=0.2)
        self.fake.troubles = [Unreachable("away")] * 100000
        with self.assertLogs("reelay"):
            for i in range(6000):
                courier.submit(step(f"job{i}", "s", "m"))
            for i in range(1100):
                self.end(courier, f"end{i}")
            self.assertLessEqual(len(courier._lanes), 4096)
            self.assertLessEqual(len(courier._ends), 1000)
            courier.close()
            courier.abandon()


if __name__ == "__main__":
    unittest.main()
