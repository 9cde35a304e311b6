"""Packages that only some features need: imported where they are used, each with a command that installs it."""

import importlib


class MissingExtra(ImportError):
    """A package of an optional extra is not installed; the message holds the command that installs it."""


def require(module, extra="demo"):
    """The imported `module`, of the packages that ``pip install "fastconv[extra]"`` brings.

    Parameters
    ----------
    module : str
        Such as ``"matplotlib.figure"``.
    extra : str

    Raises
    ------
    MissingExtra
        If its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtra(f'{package} is not installed; install it with: pip install "fastconv[{extra}]"') from error
