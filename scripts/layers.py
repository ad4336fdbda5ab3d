#!/usr/bin/env python3
"""Holds the floors of the house, by reading every #include below src/.

A room may include what is on its own floor or below, never above; rooms on one
floor do not know each other. A library's header stands in few rooms only.

    layers.py [SRC]        prints every violation; exits 1 if there is one
    layers.py --self-test  plants violations in a copy and sees each one found
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

FLOORS = [
    {"base"},
    {"proto"},
    {"core"},
    {"input", "io", "lib"},
    {"fleet", "store", "storage"},
    {"dialect", "hooks", "media"},
    {"api"},
    {"cmd", "main"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# The rooms that may include a library's header. What is neither here nor part
# of the system is refused: a new library gets a line.
LIBRARIES = [
    (r"(uthash|utlist|utarray|utstring)\.h", set(FLOOR_OF)),
    (r"jansson\.h", set(FLOOR_OF) - {"core"}),
    (r"llhttp\.h|cjose/.*", {"proto"}),
    (r"zlib\.h", {"proto", "storage"}),
    (r"openssl/.*", {"base", "proto", "io", "storage", "cmd"}),
    (r"uv\.h", {"io", "fleet", "storage", "hooks", "media", "api", "cmd", "main"}),
    (r"curl/.*", {"io"}),
    (r"expat\.h", {"proto"}),
    (r"hiredis/.*", {"io", "lib"}),
    (r"sqlite3\.h", {"store"}),
    (r"(seccomp|linux/(landlock|seccomp|filter|ioprio|prctl))\.h", {"io", "cmd"}),
]
SYSTEM = re.compile(
    r"(assert|ctype|dirent|dlfcn|endian|errno|elf|execinfo|fcntl|fenv|float|fnmatch|getopt|grp|ifaddrs|"
    r"inttypes|iso646|langinfo|limits|link|locale|math|netdb|poll|pthread|pwd|sched|semaphore|setjmp|signal|"
    r"spawn|std(align|arg|atomic|bool|def|int|io|lib|noreturn)|string|strings|syslog|termios|"
    r"threads|time|ucontext|unistd|wchar)\.h|(sys|netinet|arpa|net|linux)/.*"
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def includes(file):
    text = file.read_text(encoding="utf-8")
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1) == "<", match.group(2)


def judge_library(room, header):
    for pattern, rooms in LIBRARIES:
        if re.fullmatch(pattern, header):
            return None if room in rooms else f"<{header}> belongs to {', '.join(sorted(rooms))}"
    if SYSTEM.fullmatch(header):
        return None
    return f"<{header}> is not a header that scripts/layers.py knows"


def judge_room(room, header):
    other = header.split("/")[0] if "/" in header else room
    if other == room or (other == "reelay" and room in ("cmd", "lib", "main")):
        return None
    if other not in FLOOR_OF:
        return f'"{header}" is in no known room'
    if FLOOR_OF[other] > FLOOR_OF[room]:
        return f'"{header}" is on a floor above {room}'
    if FLOOR_OF[other] == FLOOR_OF[room] and room != "main":
        return f'"{header}": {room} and {other} are on one floor and do not know each other'
    return None


def violations(src):
    files = sorted(path for path in src.rglob("*") if path.suffix in (".c", ".h"))
    if not files:
        yield f"{src}: no sources found"
    for file in files:
        parts = file.relative_to(src).parts
        room = parts[0] if len(parts) > 1 else file.stem
        if room not in FLOOR_OF:
            yield f"{file}: {room} is on no floor"
            continue
        for line, is_library, header in includes(file):
            wrong = judge_library(room, header) if is_library else judge_room(room, header)
            if wrong:
                yield f"{file}:{line}: {wrong}"


PLANTS = [
    ("base/planted.c", '#include "core/job.h"', "on a floor above base"),
    ("core/planted.h", '#include "io/thread.h"', "on a floor above core"),
    ("store/planted.c", '#include "storage/disk.h"', "do not know each other"),
    ("core/planted.c", "#include <jansson.h>", "<jansson.h> belongs to"),
    ("api/planted.c", "#include <sqlite3.h>", "<sqlite3.h> belongs to store"),
    ("media/planted.c", "  #  include <curl/curl.h>", "<curl/curl.h> belongs to io"),
    ("dialect/planted.c", "#include <uv.h>", "<uv.h> belongs to"),
    ("proto/planted.c", "#include <boost.h>", "is not a header that"),
    ("lib/planted.c", '#include "io/thread.h"', "do not know each other"),
    ("attic/planted.c", '#include "base/str.h"', "attic is on no floor"),
]


def self_test(src):
    failures = 0
    for name, line, expected in PLANTS:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "src"
            shutil.copytree(src, copy)
            planted = copy / name
            planted.parent.mkdir(exist_ok=True)
            planted.write_text(f"/* planted */\n{line}\n")
            found = [text for text in violations(copy) if str(planted) in text]
            if len(found) != 1 or expected not in found[0]:
                failures += 1
                print(f"planted {line} in {name}; found {found}")
    return failures


def main():
    src = Path(__file__).resolve().parent.parent / "src"
    if sys.argv[1:] == ["--self-test"]:
        failures = self_test(src)
        print(f"layers: {len(PLANTS) - failures} of {len(PLANTS)} planted violations found")
        return 1 if failures else 0
    found = list(violations(Path(sys.argv[1]) if len(sys.argv) > 1 else src))
    print("\n".join(found) if found else "layers: every include keeps to its floor")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
