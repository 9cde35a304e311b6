"""Say what this machine lacks to install fastconv, and which package brings it. Standard library only.

    python tools/check_machine.py [venv] [extension] [index] [--optional extension]

Each part that is named is needed: what it lacks is an error, printed with the packages that bring it on Debian, Fedora
and macOS, and the exit status is 1. What an optional part lacks is a note. Without arguments everything is checked,
the extension as an option.
"""

import argparse
import importlib.util
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections import namedtuple
from pathlib import Path

OLDEST = (3, 11)
PROGRAM = "#include <stdio.h>\nint main(void) { return printf(\"\") < 0; }\n"

Missing = namedtuple("Missing", "what debian fedora brew")


def check_version(version=sys.version_info):
    """What is missing if this Python is older than fastconv's oldest."""
    if tuple(version[:2]) >= OLDEST:
        return []
    found, oldest = ".".join(map(str, version[:2])), ".".join(map(str, OLDEST))
    return [Missing("Python {} or newer (this is {}); PYTHON=/path/to/python chooses another".format(oldest, found),
                    "python3 python3-venv python3-dev", "python3 python3-devel", "python")]


def check_venv():
    """What is missing to create a virtual environment with pip in it."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if not missing:
        return []
    return [Missing("the module{} {} of {}".format("s" * (len(missing) > 1), " and ".join(missing), sys.executable),
                    "python{}.{}-venv".format(*sys.version_info[:2]), "python3", "python")]


def check_headers():
    """What is missing to compile against Python."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    if header.exists():
        return []
    return [Missing("the header {}".format(header), "python{}.{}-dev".format(*sys.version_info[:2]), "python3-devel",
                    "python")]


def check_compiler():
    """What is missing to compile and link a C program, tried with the compiler that setuptools would take."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "program.c")
        source.write_text(PROGRAM, encoding="ascii")
        try:
            done = subprocess.run([*compiler, str(source), "-o", str(Path(folder, "program"))], capture_output=True,
                                  text=True, check=False, stdin=subprocess.DEVNULL)
            error = done.stderr.strip().splitlines()[:1] if done.returncode else None
        except OSError as failure:
            error = [str(failure)]
    if error is None:
        return []
    what = "a working C compiler ({}: {})".format(compiler[0], " ".join(error) or "failed without a message")
    return [Missing(what, "gcc libc6-dev", "gcc", "gcc (or: xcode-select --install)")]


def check_index():
    """What is missing for this Python's pip to find packages: asked for one small one that fastconv needs."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps",
               "--retries", "1", "--disable-pip-version-check", "array-api-compat"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return []
    last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
    return [Missing("a package index that pip reaches ({}). PIP_INDEX_URL or HTTPS_PROXY may have to be set".format(
        last), "ca-certificates", "ca-certificates", "ca-certificates")]


def report(missing, heading):
    """The lines that say what is missing."""
    lines = [heading]
    for item in missing:
        lines += ["  - " + item.what,
                  "      Debian, Ubuntu: apt-get install " + item.debian,
                  "      Fedora:         dnf install " + item.fedora,
                  "      macOS:          brew install " + item.brew]
    return "\n".join(lines)


def check_extension():
    """What is missing to build the Cython extension."""
    return check_headers() + check_compiler()


PARTS = {"venv": check_venv, "extension": check_extension, "index": check_index}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("needed", nargs="*", metavar="PART", help="venv, extension or index: a part that is needed")
    parser.add_argument("--optional", choices=PARTS, help="a part whose lack is only worth a note")
    options = parser.parse_args(arguments)
    unknown = [part for part in options.needed if part not in PARTS]
    if unknown:
        parser.error("unknown part {}; expected {}".format(unknown[0], ", ".join(PARTS)))
    if not options.needed and not options.optional:
        options.needed, options.optional = ["venv", "index"], "extension"
    errors = check_version()
    for part in options.needed:
        errors += PARTS[part]()
    notes = PARTS[options.optional]() if options.optional else []
    if notes:
        print(report(notes, "note: the Cython backend will be missing (the others work without it). It needs:"))
    if errors:
        print(report(errors, "error: this machine lacks:"), file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
