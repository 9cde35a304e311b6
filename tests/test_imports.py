"""Imports run one way, and ``import fastconv`` stays light: read from the sources, and seen in a fresh interpreter."""

import ast
import sys
from pathlib import Path

import pytest

import fastconv

PACKAGE = Path(fastconv.__file__).parent

# A module imports only what stands on its own line or above it.
ORDER = (
    ("version", "extras", "files", "geometry"),
    ("sampling",),
    ("backends", "config"),
    ("checks", "devices"),
    ("functional",),
    ("grad",),
    ("layers",),
    ("inspection", "models", "training"),
    ("demo",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}

# What is imported from outside, besides the standard library and NumPy, and by which modules.
OUTSIDE = {
    "numba": ("backends.numba", "backends.cuda.jit"),
    "llvmlite": ("backends.numba", "backends.cuda.intrinsics"),
    "array_api_compat": ("checks", "devices", "functional", "grad"),
}

# What the extras bring, imported within functions only; torch by the comparison in the demo alone.
OPTIONAL = {
    "matplotlib": ("demo", "inspection"),
    "mlxtend": ("training",),
    "rich": ("cli", "config", "demo", "inspection"),
    "safetensors": ("files",),
    "torch": ("demo",),
    "tqdm": ("backends.numba", "config", "demo", "training"),
}

HEAVY = ("Cython", "array_api_compat", "cupy", "llvmlite", "matplotlib", "mlxtend", "numba", "onnxruntime", "pandas",
         "rich", "safetensors", "scipy", "torch", "tqdm")


def modules():
    """{dotted name within fastconv, "" for the package itself: syntax tree}"""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def imported(tree, within_functions=True):
    """Every dotted name that a module imports."""
    functions = [] if within_functions else [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    hidden = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: relative imports hide what is imported"
            # `from fastconv import grad` imports a module, and so may `from fastconv.backends import loops`.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(tree):
    """What it imports of fastconv, without the package's name."""
    return [name.removeprefix("fastconv").lstrip(".") for name in imported(tree) if name.split(".")[0] == "fastconv"]


def top(name):
    return name.split(".")[0]


def test_the_sources_were_found():
    assert {"", "geometry", "backends", "backends.loops", "backends.tensordot", "functional"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_its_place(name):
    assert not name or top(name) in RANK


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_imports_run_one_way(name):
    rank = RANK[top(name)]
    for other in own(MODULES[name]):
        if top(other) in RANK:
            assert RANK[top(other)] <= rank, f"{name} imports {other}"
        else:
            # `import fastconv` reaches everything: for the uppermost modules alone.
            assert rank >= RANK["demo"], f"{name} imports fastconv itself"


def test_the_package_itself_imports_little():
    assert {top(other) for other in own(MODULES[""])} <= {"backends", "config", "version"}


def test_the_numpy_backends_import_nothing_of_fastconv():
    standard = {"itertools", "math"}
    for name in ("backends.loops", "backends.tensordot"):
        assert {top(other) for other in imported(MODULES[name])} <= standard | {"numpy"}, name


@pytest.mark.parametrize("name", [name for name in MODULES if top(name) == "backends"])
def test_kernels_import_no_api(name):
    assert {top(other) for other in own(MODULES[name])} <= {"backends", "config", "extras", "geometry"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("backends.")])
def test_backends_do_not_import_each_other(name):
    kinds = {"cuda", "cython", "loops", "numba", "tensordot"}
    mine = name.split(".")[1]
    others = {other.split(".")[1] for other in own(MODULES[name]) if other.startswith("backends.")}
    assert not (others & kinds) - {mine}


def libraries(name, within_functions):
    """What a module imports besides the standard library, NumPy and fastconv."""
    found = {top(other) for other in imported(MODULES[name], within_functions)}
    return found - {"fastconv", "numpy"} - sys.stdlib_module_names


def stands_in(name, places):
    return any(name == place or name.startswith(place + ".") for place in places)


@pytest.mark.parametrize("name", MODULES)
def test_only_its_place_imports_a_library(name):
    for library in libraries(name, within_functions=False):
        assert stands_in(name, OUTSIDE.get(library, ())), f"{name} imports {library}"
    for library in libraries(name, within_functions=True):
        assert stands_in(name, (OUTSIDE | OPTIONAL).get(library, ())), f"{name} imports {library} in a function"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_imports_tests_or_bench(name):
    assert not {top(other) for other in imported(MODULES[name])} & {"bench", "tests", "references", "conftest"}


def test_import_is_light(fresh):
    loaded = fresh("import sys, fastconv; print(*sorted({name.split('.')[0] for name in sys.modules}))").split()
    assert "fastconv" in loaded
    assert not set(loaded) & set(HEAVY)


def test_import_loads_no_backend(fresh):
    loaded = fresh("import sys, fastconv; print(*(name for name in sys.modules if 'fastconv.backends.' in name))")
    light = "precision", "shapes", "threads", "workspace"
    assert set(loaded.split()) == {f"fastconv.backends.{name}" for name in light}


def test_the_functions_load_no_compiler_nor_plots(fresh):
    loaded = fresh("import sys, fastconv; fastconv.functional, fastconv.grad, fastconv.layers;"
                   "print(*sorted({name.split('.')[0] for name in sys.modules}))").split()
    assert not set(loaded) & (set(HEAVY) - {"array_api_compat"})


def test_submodules_are_attributes_of_the_package(fresh):
    names = ("functional", "grad", "inspection", "layers", "models", "training")
    printed = fresh(f"import fastconv; print(*(getattr(fastconv, name).__name__ for name in {names}))")
    assert printed.split() == [f"fastconv.{name}" for name in names]
    assert set(names) <= set(dir(fastconv))
    assert dir(fastconv) == sorted(fastconv.__all__)
    with pytest.raises(AttributeError, match="no attribute 'functionall'"):
        fastconv.functionall  # noqa: B018
