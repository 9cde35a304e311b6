"""A pytest plugin that writes docs/CONFORMANCE.md from the tests that passed: ``make conformance``.

Tests leave what they checked as properties (`record_property`); rows of the table of bad calls and the layers that are
compared with torch are told by their parameters.
"""

import re
from collections import Counter, defaultdict

import test_conformance
from test_conformance import DOCUMENT

from fastconv import functional, layers

TYPES = ("float32", "float64")
CHECKS = ("values", "gradient", "layouts", "empty")
found = defaultdict(list)


def pytest_collection_modifyitems(items):
    """Name what tests with parameters of their own check; the document that is to be written need not be right yet."""
    items[:] = [item for item in items if item.name != "test_the_document_lists_what_there_is"]
    elsewhere = {function.__qualname__: name for name, function in test_conformance.ELSEWHERE.items()}
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        function = getattr(item, "function", None)
        if function is None:
            continue
        if {"call", "message"} <= set(parameters) and (named := re.match(r"\^?(\w+)", parameters["message"])):
            item.user_properties.append(("refused", (named[1], parameters["message"])))
        elif function.__qualname__ == "TestAgainstTorch.test_forward_and_backward":
            item.user_properties.append(("layer", (parameters["name"], parameters["dtype"].__name__)))
        elif function.__qualname__ in elsewhere:
            dtype = parameters["dtype"].__name__ if "dtype" in parameters else None
            item.user_properties.append(("layer", (elsewhere[function.__qualname__], dtype)))


def pytest_runtest_logreport(report):
    """Keep what a test that passed has checked."""
    if report.when == "call" and report.passed:
        for check, what in report.user_properties:
            found[check].append(what)


def pytest_sessionfinish(session, exitstatus):
    """Write the document, if everything passed."""
    if exitstatus == 0:
        DOCUMENT.write_text(_document(), encoding="utf-8")
        print(f"\nwrote {DOCUMENT}")


def _document():
    checked = {check: {what[:2] for what in found[check]} for check in CHECKS}
    gradients = defaultdict(set)
    for function, _, names in found["gradient"]:
        gradients[function].update(names)
    errors = defaultdict(dict)
    for function, _, by_argument in found["differences"]:
        for argument, error in by_argument.items():
            errors[function][argument] = max(error, errors[function].get(argument, 0.0))
    refused = Counter(name for name, _ in set(found["refused"]))

    def types(check, function):
        ran = [dtype.removeprefix("float") for dtype in TYPES if (function, dtype) in checked[check]]
        return ", ".join(ran) or "-"

    functions = [["function", "values", "gradient", "by", "finite differences", "layouts", "empty batch", "bad calls"]]
    for function in sorted(functional.__all__):
        names = sorted(gradients[function])
        bad = sum(refused[name] for name in (function, *(name for name in names if name.startswith(function))))
        functions.append([
            f"`{function}`", types("values", function), types("gradient", function),
            ", ".join(f"`{name}`" for name in names) or "-", "64" if errors[function] else "-",
            types("layouts", function), types("empty", function), str(bad) if bad else "-"])
    rows = [["layer", "values and gradients", "bad calls"]]
    kinds = defaultdict(set)
    for name, dtype in found["layer"]:
        kinds[name].add(dtype)
    for name in sorted(set(layers.__all__) - {"Layer", "Parameter"}):
        ran = [dtype.removeprefix("float") for dtype in TYPES if dtype in kinds[name]]
        rows.append([f"`{name}`", ", ".join(ran) or ("yes" if kinds[name] else "-"), str(refused[name] or "-")])
    report = [["function", "argument", "worst relative error"]]
    report += [[f"`{function}`", argument, f"{error:.1e}"] for function in sorted(errors)
               for argument, error in errors[function].items()]
    worst = max((error, function, argument) for function in errors for argument, error in errors[function].items())
    return "\n\n".join([
        "# Conformance", "Written by `make conformance` from the tests that passed: a cell says what was run, and "
        "nothing else. *32* and *64* are float32 and float64.",
        "- *values*, *gradient*: beside PyTorch's results and its autograd's in float64; in float32 to 2e-5 of the "
        "largest result, in float64 to 1e-12. *By* names the functions of `fastconv.grad` that were called.\n"
        "- *finite differences*: gradients beside central differences, as `fastconv.inspection.check_gradients` takes "
        "them.\n"
        "- *layouts*: arguments with strides, reversed and read-only give the same bits, and are not written to.\n"
        "- *empty batch*: no examples give an empty result and gradients of zeros.\n"
        "- *bad calls*: how many messages of the tables of bad calls name the function or its gradients; every call "
        "was refused with its message, those of functions before any kernel, on every backend.",
        "## Functions", _table(functions), "## Layers",
        "Output, gradient of the input and gradients of the parameters beside the layer of `torch.nn` with the same "
        "parameters.", _table(rows), "## Gradient report",
        "The worst relative error of each gradient beside finite differences, over all its forms; float64, steps of "
        f"1e-6. The largest is {worst[0]:.1e}: `{worst[1]}` by {worst[2]}.", _table(report)]) + "\n"


def _table(rows):
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
