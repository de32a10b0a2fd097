#!/usr/bin/env python3
"""Which lines of a folder of src the unit tests run, without the code of the tests: usage: tests/coverage.py LCOV PATH

LCOV is what `llvm-cov export --format=lcov` writes. A line for each file, and the total; where PATH is a file, the lines that
are not run as well. `make coverage` calls it.
"""

import os
import re
import sys


def main(lcov, wanted):
    runs = of_lines(lcov)
    sources = {path: open(path, encoding="utf-8").read().split("\n") for path in runs}
    tests_only = set()
    for path, lines in sources.items():
        tests_only.update(modules_of_tests(path, lines))
    total = run = 0
    for path in sorted(runs):
        is_wanted = path == wanted or path.startswith(wanted.rstrip("/") + "/")
        if not is_wanted or any(path == f"{module}.rs" or path.startswith(f"{module}/") for module in tests_only):
            continue
        skipped = lines_of_tests(sources[path])
        counts = {line: count for line, count in runs[path].items() if line not in skipped}
        if not counts:
            continue
        of_file = sum(1 for count in counts.values() if count > 0)
        total += len(counts)
        run += of_file
        print(f"{path:50}{of_file:6} of {len(counts):5}{100 * of_file / len(counts):7.1f} %")
        if path == wanted:
            for line in sorted(line for line, count in counts.items() if count == 0):
                print(f"{line:6}  {sources[path][line - 1]}")
    if total == 0:
        sys.exit(f"no line of {wanted} is known")
    print(f"{'all of them':50}{run:6} of {total:5}{100 * run / total:7.1f} %")


def of_lines(lcov):
    """How often each line of each file of this folder has been run."""
    runs, path = {}, None
    here = os.getcwd() + os.sep
    for line in open(lcov, encoding="utf-8"):
        kind, _, rest = line.strip().partition(":")
        if kind == "SF":
            path = rest.removeprefix(here)
            path = path if path.startswith("src/") else None
        elif kind == "DA" and path:
            number, count = rest.split(",")[:2]
            counts = runs.setdefault(path, {})
            counts[int(number)] = max(counts.get(int(number), 0), int(count))
    return runs


def modules_of_tests(path, lines):
    """The modules in files of their own that are for tests only, as paths without `.rs`."""
    folder, name = os.path.split(path)
    inside = folder if name in ("lib.rs", "main.rs", "mod.rs") else path.removesuffix(".rs")
    for at, line in enumerate(lines[:-1]):
        module = re.fullmatch(r"\s*(?:pub(?:\([^)]*\))? )?mod (\w+);", lines[at + 1])
        if module and line.strip() == "#[cfg(test)]":
            yield f"{inside}/{module[1]}"


def lines_of_tests(lines):
    """The numbers of the lines of items that are for tests only; rustfmt has put where they end at the same indentation."""
    found, at = set(), 0
    while at < len(lines):
        begin = at
        if lines[at].strip() in ("#[cfg(test)]", "#[test]"):
            end = lines[at][: len(lines[at]) - len(lines[at].lstrip())] + "}"
            while at + 1 < len(lines) and not lines[at].endswith((";", "{", "{}")):
                at += 1
            if lines[at].endswith("{"):
                while at + 1 < len(lines) and not lines[at].startswith(end):
                    at += 1
            found.update(range(begin + 1, at + 2))
        at += 1
    return found


main(*sys.argv[1:])
