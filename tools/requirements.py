"""Print the requirements of an extra as pyproject.toml states them, or of one package of it.

    python tools/requirements.py EXTRA [PACKAGE]

So that the Makefile can install the linter alone, or torch before the rest, without stating a version twice.
"""

import re
import sys
import tomllib
from pathlib import Path


def requirements(extra, package=None):
    """The requirement strings of `extra`; those of `package` alone if it is given."""
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = project["optional-dependencies"][extra]
    return [item for item in found if package is None or re.match(r"[\w.-]+", item).group() == package]


if __name__ == "__main__":
    print(*requirements(*sys.argv[1:]))
