"""Every file of examples/ runs to its end, which checks its numbers."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.strip().splitlines()[-1].startswith("Next: ")
    named = re.findall(r"(\w+)\.py", printed)
    assert all((path.parent / f"{name}.py").exists() or name == "loops" for name in named), named
    for picture in re.findall(r"out/\w+\.png", printed):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_an_example_runs_in_a_fresh_interpreter(fresh, tmp_path):
    path = ROOT / "examples" / "learning_by_hand.py"
    assert "updated kernel: [[ 0.  -0.5]]" in fresh(f"import os, runpy; os.chdir({str(tmp_path)!r}); "
                                                    f"runpy.run_path({str(path)!r}, run_name='__main__')")


def test_the_index_names_every_example():
    index = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((\w+)\.py\)", index) == list(dict.fromkeys(re.findall(r"\((\w+)\.py\)", index)))
    assert set(re.findall(r"\((\w+)\.py\)", index)) == {path.stem for path in EXAMPLES}
