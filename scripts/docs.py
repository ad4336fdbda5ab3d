#!/usr/bin/env python3
"""Keeps what the program can say about itself up to date in the documentation.

Between these two lines of a Markdown file stands what the command prints:

    <!-- generated: reelay ARGUMENTS -->
    <!-- generated end -->

    docs.py check|write [PROGRAM]
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?P<begin><!-- generated: reelay (?P<arguments>[^\n]*?) -->\n)(?P<body>.*?)"
    r"(?P<end><!-- generated end -->)", re.S)


def renew(text, program):
    def replace(match):
        command = [program, *shlex.split(match["arguments"])]
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=True).stdout
        return match["begin"] + said + match["end"]
    return BLOCK.sub(replace, text)


def main():
    action = sys.argv[1] if len(sys.argv) > 1 else "check"
    program = str((ROOT / (sys.argv[2] if len(sys.argv) > 2 else "build/reelay")).resolve())
    stale, blocks = [], 0
    for file in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        text = file.read_text(encoding="utf-8")
        blocks += len(BLOCK.findall(text))
        renewed = renew(text, program)
        if renewed != text:
            stale.append(str(file.relative_to(ROOT)))
            if action == "write":
                file.write_text(renewed, encoding="utf-8")
    if stale and action == "check":
        print(f"docs: out of date, `make docs` mends it: {', '.join(stale)}")
        return 1
    print(f"docs: {blocks} generated parts, " +
          (f"written anew: {', '.join(stale)}" if stale else "all up to date"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
