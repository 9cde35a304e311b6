"""What installs, builds and documents the package: setup.py, the Makefile, the check of the machine, the documents."""

import contextlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import layers
from fastconv.inspection import check_gradients

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

ENGINE = "def answer():\n    return 42\n"

# Stands in for a compiler: notes how it was called, and leaves an empty file where the real one leaves its result.
COMPILER = """\
import sys
from pathlib import Path
Path({log!r}).open("a").write(" ".join(sys.argv[1:]) + "\\n")
Path(sys.argv[sys.argv.index("-o") + 1]).touch()
"""


def load(path):
    """The module in the file `path` of the project, which no package holds."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source_tree(tmp_path):
    """A folder with setup.py, a tiny engine.pyx and tile.c, and what is needed to build them."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "fastconv/version.py"):
        target = tmp_path / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    tree = tmp_path / "tree"
    tree.joinpath("fastconv/__init__.py").touch()
    tree.joinpath("fastconv/backends").mkdir()
    tree.joinpath("fastconv/backends/__init__.py").touch()
    tree.joinpath("src_cython").mkdir()
    tree.joinpath("src_cython/engine.pyx").write_text(ENGINE)
    tree.joinpath("src_cython/tile.c").write_text("int tile;\n")
    return tree


def build(tree, compiler, *options, **environment):
    """Run setup.py's build_ext; the finished process."""
    environment = {"FASTCONV_REQUIRE_EXT": "0", **environment}
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", "../lib", "--build-temp", "../temp",
               *options]
    return subprocess.run(command, cwd=tree, env={**os.environ, "CC": compiler, "LDSHARED": compiler, **environment},
                          capture_output=True, text=True, check=False)


def compiler_calls(tree, environment=None):
    """The arguments of every call of the compiler in a build: a list of lists."""
    log, script = tree.parent / "log", tree.parent / "compiler.py"
    script.write_text(COMPILER.format(log=str(log)))
    done = build(tree, f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}", **(environment or {}))
    assert done.returncode == 0, done.stderr
    return [line.split() for line in log.read_text().splitlines()]


def test_one_version():
    assert PROJECT["dynamic"] == ["version"]
    assert importlib.metadata.version("fastconv") == fastconv.__version__
    assert f"## [{fastconv.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_extras_and_the_pin_of_torch():
    extras = PROJECT["optional-dependencies"]
    assert {"demo", "test", "cuda", "lint"} <= set(extras)
    assert not [item for item in [*PROJECT["dependencies"], *extras["demo"]] if item.startswith("torch")]
    requirements = load("tools/requirements.py").requirements
    assert requirements("test", "torch") == ["torch==2.13.0"]
    assert requirements("lint") == extras["lint"]


def test_instruction_sets_by_platform():
    setup = load("setup.py")
    for platform in ("linux-x86_64", "win-amd64", "macosx-13.0-x86_64"):
        assert [tile.suffix for tile in setup.tiles(platform)] == ["generic", "avx2", "avx512f"]
    for platform in ("linux-aarch64", "macosx-11.0-arm64", "macosx-10.9-universal2", "linux-i686"):
        assert setup.tiles(platform) == (setup.GENERIC,)
    assert not any(flag.startswith("-m") for flag in (*setup.GENERIC.flags, *setup.ENGINE_FLAGS, *setup.TILE_FLAGS))


def test_flags_of_instruction_sets_reach_the_tiles_alone(source_tree):
    setup = load("setup.py")
    calls = compiler_calls(source_tree)
    flags = {flag for tile in setup.X86_TILES for flag in tile.flags}
    assert flags
    (engine,) = (call for call in calls if any(argument.endswith("engine.c") for argument in call))
    assert not flags & set(engine)
    assert not any(argument.startswith("-DTILE_SUFFIX") for argument in engine)
    compiled = [call for call in calls if any(argument.endswith("tile.c") for argument in call)]
    expected = setup.tiles(sysconfig.get_platform())
    assert len(compiled) == len(expected)
    for call, tile in zip(compiled, expected, strict=True):
        assert f"-DTILE_SUFFIX={tile.suffix}" in call
        assert flags & set(call) == set(tile.flags)
    assert ("-DFASTCONV_X86_TILES=1" in engine) == (len(expected) > 1)
    link = calls[-1]
    objects = [argument for argument in link if argument.endswith("tile.o")]
    assert len(objects) == len(set(objects)) == len(expected)
    assert not flags & set(link)


def test_without_a_compiler_the_rest_installs(source_tree):
    done = build(source_tree, "/nonexistent/cc")
    assert done.returncode == 0, done.stderr
    assert "the Cython backend will be missing" in done.stderr
    assert not list(source_tree.parent.glob("lib/**/_engine*"))


def test_without_a_compiler_a_required_extension_is_an_error(source_tree):
    done = build(source_tree, "/nonexistent/cc", FASTCONV_REQUIRE_EXT="1")
    assert done.returncode != 0
    assert "/nonexistent/cc" in done.stderr


def test_sources_that_do_not_compile(source_tree):
    source_tree.joinpath("src_cython/engine.pyx").write_text("def answer(:\n")
    done = build(source_tree, "cc")
    assert done.returncode == 0, done.stderr
    assert "the Cython backend will be missing" in done.stderr
    assert build(source_tree, "cc", FASTCONV_REQUIRE_EXT="1").returncode != 0


def test_a_failed_build_in_place_leaves_no_older_extension(source_tree):
    older = source_tree / "fastconv" / "backends" / f"_engine{sysconfig.get_config_var('EXT_SUFFIX')}"
    older.touch()
    assert build(source_tree, "/nonexistent/cc", "--inplace").returncode == 0
    assert not older.exists()


def test_without_sources_of_the_extension(source_tree):
    source_tree.joinpath("src_cython/engine.pyx").unlink()
    assert build(source_tree, "cc").returncode == 0
    done = build(source_tree, "cc", FASTCONV_REQUIRE_EXT="1")
    assert done.returncode != 0
    assert "engine.pyx is missing" in done.stderr


@pytest.fixture
def check_machine():
    return load("tools/check_machine.py")


def test_this_machine_can_build(check_machine):
    assert check_machine.check_version() == check_machine.check_venv() == check_machine.check_extension() == []


def test_old_python_is_named(check_machine):
    (missing,) = check_machine.check_version((3, 10, 4))
    assert "this is 3.10" in missing.what
    assert "python3" in missing.debian


def test_missing_venv_is_named(check_machine, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name))
    (missing,) = check_machine.check_venv()
    assert "ensurepip" in missing.what
    assert missing.debian == f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"


def test_missing_headers_are_named(check_machine, monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    (missing,) = check_machine.check_headers()
    assert "Python.h" in missing.what
    assert missing.debian.endswith("-dev")
    assert missing.fedora == "python3-devel"


@pytest.mark.parametrize("compiler", ["/nonexistent/cc", f"{shlex.quote(sys.executable)} -c raise(SystemExit(3))"])
def test_missing_compiler_is_named(check_machine, monkeypatch, compiler):
    monkeypatch.setenv("CC", compiler)
    (missing,) = check_machine.check_compiler()
    assert "C compiler" in missing.what
    assert "gcc" in missing.debian


def test_unreachable_index_is_named(check_machine, monkeypatch):
    # Port 9 of this machine: refused at once.
    for name in [name for name in os.environ if name.upper().startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    (missing,) = check_machine.check_index()
    assert "PIP_INDEX_URL" in missing.what


def test_what_is_optional_is_a_note(check_machine, monkeypatch, capsys):
    monkeypatch.setenv("CC", "/nonexistent/cc")
    assert check_machine.main(["venv", "--optional", "extension"]) == 0
    output = capsys.readouterr()
    assert "note:" in output.out
    assert "apt-get install gcc" in output.out
    assert not output.err


def test_what_is_needed_is_an_error(check_machine, monkeypatch, capsys):
    monkeypatch.setenv("CC", "/nonexistent/cc")
    assert check_machine.main(["venv", "extension"]) == 1
    errors = capsys.readouterr().err
    assert all(f"{tool} install gcc" in errors for tool in ("apt-get", "dnf", "brew"))


def python_blocks(document):
    """The Python examples of a document."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_example_of_the_readme():
    example, *_ = python_blocks("README.md")
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(example, "README.md", "exec"), {})
    (promised,) = re.findall(r"^print\(.*#\s*(.*)$", example, re.MULTILINE)
    assert output.getvalue().strip() == promised


def test_example_of_a_layer():
    (example,) = python_blocks("CONTRIBUTING.md")
    names = {}
    exec(compile(example, "CONTRIBUTING.md", "exec"), names)
    layer = names["ThreeTap"]([2, 3, 5])
    p = np.array([[[1, 10, 100, 1000]]], np.float32)
    np.testing.assert_array_equal(layer(p), [[[53, 532, 5320, 3200]]])
    # d q[i] / d p[j] is w[j - i + 1]; d q[i] / d w[t] is p[i + t - 1].
    dq = np.array([[[1, 0, 0, 2]]], np.float32)
    np.testing.assert_array_equal(layer.backward(dq), [[[3, 5, 4, 6]]])
    np.testing.assert_array_equal(layer.weight.grad, [[[200, 2001, 10]]])
    assert dict(layer.named_parameters()).keys() == {"weight"}


def test_example_of_a_layer_in_a_network():
    names = {}
    exec(compile(python_blocks("CONTRIBUTING.md")[0], "CONTRIBUTING.md", "exec"), names)
    shared = names["ThreeTap"]([0.5, -1, 2])
    model = layers.Sequential(shared, layers.ReLU(), layers.Conv1d(1, 3, 3, generator=0), layers.ReLU(),
                              layers.Flatten(), layers.Linear(3 * 8, 10, generator=1))
    x = np.random.default_rng(0).standard_normal((4, 1, 10), np.float32)
    assert model(x).shape == (4, 10)
    assert next(iter(model.state_dict())) == "0.weight"
    report = check_gradients(model, x)
    assert report and report.worst < 1e-6, str(report)
    # Twice in a network, its gradients add up.
    report = check_gradients(layers.Sequential(shared, layers.ReLU(), shared), x)
    assert report and report.worst < 1e-6, str(report)
    loss = layers.CrossEntropyLoss()
    before = float(loss(model(x), np.arange(4)))
    model.backward(loss.backward())
    for parameter in model.parameters():
        parameter.data -= np.float32(0.05) * parameter.grad
    assert float(loss(model(x), np.arange(4))) < before


def targets():
    """The targets of the Makefile that a user may name."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".ci/run", "bench/report.py"])
def test_targets_that_documents_name(document):
    named = re.findall(r"^(?: {4})?make ([a-z][a-z-]*)|`make ([a-z][a-z-]*)[^`]*`",
                       (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE)
    named = {first or second for first, second in named}
    assert named
    assert named <= targets()


def test_every_target_is_listed_by_help():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert listed == set(phony.split()) == targets()


def test_links_between_documents():
    for document in ("README.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text(encoding="utf-8"))
        local = [link for link in links if "://" not in link]
        assert not [link for link in local if not (ROOT / link).exists()]


def test_the_check_needs_only_the_standard_library():
    done = subprocess.run([sys.executable, "-I", "-S", str(ROOT / "tools" / "check_machine.py"), "venv"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
