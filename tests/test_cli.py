"""The command line: help, bad arguments, info, warm-up."""

import importlib
import subprocess
import sys

import pytest

import fastconv
from fastconv import backends
from fastconv.cli import main


def run(*arguments):
    return subprocess.run([sys.executable, "-W", "error", "-m", "fastconv", *arguments], capture_output=True,
                          text=True, timeout=120, check=False)


def test_help_names_every_command():
    done = run("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for word in ("info", "demo", "warmup", "examples:", "FASTCONV_BACKEND", "OMP_NUM_THREADS", "--version"):
        assert word in done.stdout


def test_no_command_prints_help(capsys):
    assert main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"fastconv {fastconv.__version__}\n"


def test_demo_help_names_every_option_and_default(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option in ("--epochs N", "--batch-size N", "--lr RATE", "--seed N", "--backend NAME", "--threads N",
                   "--out DIR", "--data DIR", "--no-compare", "--device NAME"):
        assert option in text
    for default in ("(default: 10)", "(default: 64)", "(default: 1e-3)", "(default: 0)", "(default: out)",
                    "(default: FASTCONV_BACKEND, else the fastest installed)",
                    "(default: OMP_NUM_THREADS, else all cores)"):
        assert default in text
    assert 'pip install "fastconv[demo]"' in text


def test_info_is_show_config(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for name in ("numpy", *backends.NAMES, "threads in use", "precision"):
        assert name in text


BAD = [
    (["paint"], "invalid choice: 'paint'"),
    (["demo", "--colour"], "unrecognized arguments: --colour"),
    (["demo", "extra"], "unrecognized arguments: extra"),
    (["demo", "--epochs", "0"], "argument --epochs: must be an integer of at least 1, got '0'"),
    (["demo", "--epochs", "2.5"], "argument --epochs: must be an integer of at least 1, got '2.5'"),
    (["demo", "--epochs"], "argument --epochs: expected one argument"),
    (["demo", "--batch-size", "-3"], "argument --batch-size: must be an integer of at least 1, got '-3'"),
    (["demo", "--threads", "none"], "argument --threads: must be an integer of at least 1, got 'none'"),
    (["demo", "--seed", "-1"], "argument --seed: must be an integer of at least 0, got '-1'"),
    (["demo", "--lr", "0"], "argument --lr: must be a number greater than 0, got '0'"),
    (["demo", "--lr", "nan"], "argument --lr: must be a number greater than 0, got 'nan'"),
    (["demo", "--lr", "inf"], "argument --lr: must be a number greater than 0, got 'inf'"),
    (["demo", "--device", "gpu"], "argument --device: demo: device must be 'cpu', 'cuda' or such as 'cuda:1', got "),
    (["demo", "--backend", "abacus"], "argument --backend: invalid choice: 'abacus'"),
    (["warmup", "--threads", "0"], "argument --threads: must be an integer of at least 1, got '0'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_arguments_exit_with_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def _refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--backend", "tensordot"])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_data_that_cannot_be_read_exits_with_2(capsys, tmp_path):
    out = str(tmp_path / "out")
    assert "argument --data: load_idx: nowhere is not a folder" in _refused(capsys, "demo", "--data", "nowhere",
                                                                            "--out", out)
    text = _refused(capsys, "demo", "--data", str(tmp_path), "--out", out)
    assert "train-images-idx3-ubyte: there is no such file" in text


def test_a_folder_that_cannot_be_written_exits_with_2(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    text = _refused(capsys, "demo", "--out", str(tmp_path / "file"))
    assert "argument --out: cannot write to" in text


def test_a_backend_that_cannot_load_exits_with_2(capsys, monkeypatch):
    def unavailable(name):
        raise backends.BackendUnavailable(f"{name} needs what is not here")

    monkeypatch.setattr(backends, "get", unavailable)
    with pytest.raises(SystemExit) as stop:
        main(["warmup", "--backend", "cython"])
    assert stop.value.code == 2
    assert "argument --backend: cython needs what is not here" in capsys.readouterr().err


def test_an_unknown_backend_in_the_environment_is_named(capsys, monkeypatch):
    monkeypatch.setattr(backends, "_chosen", None)
    monkeypatch.setenv("FASTCONV_BACKEND", "abacus")
    for command in ("info", "warmup"):
        with pytest.raises(SystemExit) as stop:
            main([command])
        assert stop.value.code == 2
        assert "FASTCONV_BACKEND: there is no backend 'abacus'" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["mlxtend", "matplotlib", "tqdm", "rich"])
def test_a_missing_extra_says_what_to_install(capsys, monkeypatch, tmp_path, package):
    real = importlib.import_module

    def without(name, *arguments):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", without)
    assert main(["demo", "--backend", "tensordot", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f'python -m fastconv demo: {package} is not installed; install it with: pip install "fastconv[demo]"\n')


def test_warmup_says_which_backend_is_ready(capsys):
    assert main(["warmup", "--backend", "tensordot", "--threads", "1"]) == 0
    assert capsys.readouterr().out.startswith("tensordot: ready after ")


def test_too_many_threads_are_capped_and_said(capsys):
    assert main(["warmup", "--backend", "tensordot", "--threads", "100000"]) == 0
    assert "set_num_threads(100000)" in capsys.readouterr().err


def test_an_interruption_exits_with_130(capsys, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(fastconv, "warmup", interrupt)
    assert main(["warmup", "--backend", "tensordot"]) == 130
    assert "interrupted" in capsys.readouterr().err
