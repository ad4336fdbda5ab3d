#!/usr/bin/env python3
"""Runs every part of `make check` and counts. A part that fails does not stop
the others; what it said is shown, all else stays in build-check/*.log.

    check.py [--setup ok|failed] [PART...]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build-check"
JOBS = os.environ.get("JOBS", str(os.cpu_count() or 2))

# Where threads meet: what these rooms do runs under ThreadSanitizer too.
THREADED_ROOMS = ("core", "io", "lib", "engine", "store", "storage", "media", "api")

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": f"halt_on_error=1:suppressions={ROOT}/tests/support/tsan.supp",
}

SHOWN_MAX = 120  # lines of a failure


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.details = []

    def fail(self, *details):
        self.failed += 1
        self.details += details


def is_available(*command):
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


# Sanitizers of older compilers stumble over a kernel that scatters addresses widely.
FIXED_ADDRESSES = ["setarch", "-R"] if is_available("setarch", "-R", "true") else []


def run(name, command, **env):
    """Runs a command, its output in NAME.log; returns (status, output)."""
    log = LOGS / f"{name}.log"
    with log.open("w") as out:
        out.write(f"$ {' '.join(map(str, command))}\n")
        out.flush()
        status = subprocess.run(
            [str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, env={**os.environ, **SANITIZER_ENV, **env}).returncode
    return status, log.read_text(errors="replace")


def tail(text):
    lines = text.rstrip().splitlines()
    return lines if len(lines) <= SHOWN_MAX else ["[...]"] + lines[-SHOWN_MAX:]


def build(folder, *options, **env):
    """Configures if need be and builds; None if that went well, else what it said."""
    if not (ROOT / folder / "build.ninja").exists():
        status, output = run(f"{folder}-setup", ["meson", "setup", folder, *options], **env)
        if status:
            return tail(output)
    status, output = run(f"{folder}-ninja", ["ninja", "-j", JOBS, "-C", folder])
    return tail(output) if status else None


# What cmocka says of cases that went well: of no use in a complaint.
QUIET = re.compile(r"^\[ *(RUN|OK) *\] .*\n", re.M)
CASE = re.compile(r"^\[ *(OK|FAILED|SKIPPED) *\] (?:\S+: )?([A-Za-z_]\w*)$", re.M)


NODE_COUNT = re.compile(r"^(?:#|\u2139) (pass|fail|skipped) (\d+)$", re.M)


def count_cases(test, tally):
    """The cases of one program: cmocka's, or node's. One that died counts as a failure of its own."""
    output = test.get("stdout", "") + test.get("stderr", "")
    words = list({case: word for word, case in CASE.findall(output)}.values())
    node = {word: int(count) for word, count in NODE_COUNT.findall(output)}
    failed = words.count("FAILED") + node.get("fail", 0)
    is_well = test["result"] in ("OK", "EXPECTEDFAIL")
    passed = words.count("OK") + node.get("pass", 0)
    # A replayed corpus names no cases: the program is one.
    tally.passed += passed if passed or failed or not is_well else 1
    tally.skipped += words.count("SKIPPED") + node.get("skipped", 0)
    tally.failed += failed if failed or is_well else 1
    if not is_well or failed:
        tally.details += [f"--- {test['name']}: {test['result']}", *tail(QUIET.sub("", output))]


def unit_tests(folder, names, name):
    tally = Tally()
    log = ROOT / folder / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    status, output = run(name, FIXED_ADDRESSES + [
        "meson", "test", "-C", folder, "--no-rebuild", "--num-processes", JOBS,
        "--timeout-multiplier", "5", *names])
    if not log.exists():
        tally.fail(*tail(output))
        return tally
    for line in log.read_text().splitlines():
        count_cases(json.loads(line), tally)
    if status and not tally.failed:
        tally.fail(*tail(output))
    return tally


def test_names(folder, rooms):
    listed = subprocess.run(["meson", "test", "-C", folder, "--list"], cwd=ROOT,
                            capture_output=True, text=True).stdout
    names = [line.split(" / ")[-1].split(":")[-1].strip() for line in listed.splitlines()]
    return [name for name in names if name.split("/")[0] in rooms]


def part_unit():
    """unit tests and the fuzzers' corpora, with AddressSanitizer and UndefinedBehaviorSanitizer"""
    broken = build("build-asan", "-Dbuildtype=debug", "-Db_sanitize=address,undefined")
    if broken:
        tally = Tally()
        tally.fail(*broken)
        return tally
    return unit_tests("build-asan", [], "unit")


def part_threads():
    """unit tests of the rooms with threads, with ThreadSanitizer"""
    tally = Tally()
    broken = build("build-tsan", "-Dbuildtype=debug", "-Db_sanitize=thread")
    if broken:
        tally.fail(*broken)
        return tally
    names = test_names("build-tsan", THREADED_ROOMS)
    return unit_tests("build-tsan", names, "threads") if names else tally


def one(name, command):
    """A command that is one test."""
    tally = Tally()
    status, output = run(name, command)
    if status:
        tally.fail(*tail(output))
    else:
        tally.passed += 1
    return tally


def part_layers():
    """every include keeps to its floor"""
    return one("layers", ["scripts/layers.py"])


def part_layers_self_test():
    """the layers check finds what is planted"""
    return one("layers-self-test", ["scripts/layers.py", "--self-test"])


def part_docs():
    """the generated parts of the documentation are up to date"""
    return one("docs", ["scripts/docs.py", "check", "build-asan/reelay"])


def part_e2e():
    """end to end: the sanitized binary and the real clients"""
    tally = Tally()
    summary = LOGS / "e2e.json"
    summary.unlink(missing_ok=True)
    status, output = run("e2e", FIXED_ADDRESSES + ["node", "tests/support/run.mjs", summary],
                         REELAY_BIN=str(ROOT / "build-asan" / "reelay"))
    if not summary.exists():
        tally.fail(*tail(output))
        return tally
    counts = json.loads(summary.read_text())
    tally.passed, tally.failed, tally.skipped = (
        counts["passed"], counts["failed"], counts["skipped"])
    if status and not tally.failed:
        tally.failed += 1
    if tally.failed:
        tally.details += output.splitlines()
    return tally


# Those of a group run side by side: nothing else may disturb the timing of e2e.
GROUPS = [
    {"layers": part_layers, "layers-self-test": part_layers_self_test, "unit": part_unit},
    {"threads": part_threads},
    {"docs": part_docs},
    {"e2e": part_e2e},
]


def run_part(name, part):
    began = time.monotonic()
    try:
        tally = part()
    except Exception as error:  # a bug of this script is a failure, not the end
        tally = Tally()
        tally.fail(repr(error))
    skipped = f", {tally.skipped} skipped" if tally.skipped else ""
    lines = [f"check: {name}: {tally.passed} passed, {tally.failed} failed{skipped} "
             f"({time.monotonic() - began:.0f} s) - {part.__doc__}"]
    lines += [f"    {line}" for line in tally.details]
    print("\n".join(lines), flush=True)
    return tally


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--setup", default="ok")
    parser.add_argument("parts", nargs="*")
    arguments = parser.parse_args()
    LOGS.mkdir(exist_ok=True)
    passed, failed = 0, 0
    if arguments.setup != "ok":
        print("check: setup failed")
        failed += 1
    for group in GROUPS:
        wanted = {name: part for name, part in group.items()
                  if not arguments.parts or name in arguments.parts}
        with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
            for tally in pool.map(lambda item: run_part(*item), wanted.items()):
                passed += tally.passed
                failed += tally.failed
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
