"""What a report may be, and what it is told as."""

import unittest
import uuid
from decimal import Decimal

from reelay.message import (JSON_MAX, TEXT_MAX, check_id, completion, failure, progress_report)


def progress(value=0.5, stage="s", message="m", metadata=None):
    return progress_report("job", stage, value, message, metadata)


class Ids(unittest.TestCase):
    def test_what_the_server_takes_is_taken(self):
        for good in ("a", "job_12345", "A-z_0.:~@+=,!$", "x" * 128, 7, uuid.uuid4()):
            self.assertEqual(check_id(good), str(good))

    def test_what_the_server_refuses_is_refused(self):
        for bad in ("", ".hidden", "a/b", "a b", "x" * 129, "é", "a\n", "a%2f", -0.5, None, True):
            with self.assertRaises((TypeError, ValueError), msg=repr(bad)) as caught:
                check_id(bad)
            self.assertIn("job_id", str(caught.exception))


class Progress(unittest.TestCase):
    def test_it_is_clamped(self):
        for said, told in ((-1, 0.0), (0, 0.0), (0.25, 0.25), (7, 1.0), (float("inf"), 1.0),
                           (Decimal("0.5"), 0.5)):
            self.assertEqual(progress(said).progress, told)

    def test_what_is_no_number_is_refused_by_name(self):
        with self.assertRaisesRegex(ValueError, "progress.*NaN"):
            progress(float("nan"))
        for bad in ("0.5", None, []):
            with self.assertRaises(TypeError):
                progress(bad)


class Json(unittest.TestCase):
    def test_the_limit_is_exact_and_named(self):
        fits = {"k": "x" * (JSON_MAX - len('{"k":""}'))}
        self.assertEqual(progress(metadata=fits).metadata, fits)
        with self.assertRaisesRegex(ValueError, f"metadata has 16385 bytes.*{JSON_MAX}"):
            progress(metadata={"k": fits["k"] + "x"})
        with self.assertRaisesRegex(ValueError, f"result has .*{JSON_MAX}"):
            completion("job", "é" * JSON_MAX, "m")

    def test_numbers_count_as_the_server_writes_them(self):
        progress(metadata={"k": [0.5] * 4000})
        with self.assertRaisesRegex(ValueError, "the limit"):
            progress(metadata={"k": [0.1] * 4000})  # 0.10000000000000001 there

    def test_what_is_not_json_is_refused_by_name(self):
        circle = {}
        circle["k"] = circle
        deep = {"k": 1}
        for _ in range(32):
            deep = {"k": deep}
        for bad in ({"k": object()}, {"k": float("nan")}, {"k": 2**63}, {"k": "\ud800"},
                    {"k": "a\0b"}, {1: "x", "1": "y"}, circle, deep, ["list"]):
            with self.assertRaises((TypeError, ValueError), msg=str(type(bad))) as caught:
                progress(metadata=bad)
            self.assertIn("metadata", str(caught.exception))
        self.assertEqual(progress(metadata=deep["k"]).metadata, deep["k"])

    def test_it_is_a_copy(self):
        mine = {"frames": [1]}
        report = progress(metadata=mine)
        mine["frames"].append(2)
        self.assertEqual(report.metadata, {"frames": [1]})

    def test_a_result_is_any_json(self):
        for value in ({"a": 1}, [1], "text", None, 1.5):
            self.assertEqual(completion("job", value, "m").result, value)


class Texts(unittest.TestCase):
    def test_they_are_mended_rather_than_refused(self):
        self.assertEqual(progress(message="a\0b\ud800").message, "a\N{REPLACEMENT CHARACTER}b?")
        long = failure("job", "é" * TEXT_MAX, "s").error
        self.assertLessEqual(len(long.encode()), TEXT_MAX)
        self.assertTrue(long.endswith("é…"))

    def test_an_exception_is_its_text_or_its_name(self):
        self.assertEqual(failure("job", ValueError("no"), "s").error, "no")
        self.assertEqual(failure("job", MemoryError(), "s").error, "MemoryError")
        self.assertEqual(failure("job", "", "s").message, "Error: Unknown error")


class Words(unittest.TestCase):
    def test_the_door_has_the_documents_messages(self):
        said = progress(0.75, "rendering", "Rendering", {"f": 1}).door(0.75)
        self.assertRegex(said.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(said, {"job_id": "job", "status": "processing", "stage": "rendering",
                                "progress": 0.75, "message": "Rendering", "metadata": {"f": 1}})
        said = completion("job", {"d": 1}, "Done").door(1.0)
        self.assertEqual((said["status"], said["stage"], said["result"]),
                         ("completed", "complete", {"d": 1}))
        said = failure("job", "Out of memory", "rendering").door(0.5)
        self.assertEqual((said["message"], said["error"], said["progress"]),
                         ("Error: Out of memory", "Out of memory", 0.5))


if __name__ == "__main__":
    unittest.main()
