"""Builds the extension of the Cython backend; everything else about the package stands in pyproject.toml.

The extension is ``src_cython/engine.pyx`` and one object of ``src_cython/tile.c`` for each instruction set::

    engine.pyx  --Cython-->  engine.c  --cc, flags of the platform's baseline-->  engine.o ------+
                             tile.c    --cc -DTILE_SUFFIX=generic ------------->  tile.o         |
                             tile.c    --cc -DTILE_SUFFIX=avx2    -mavx2 -mfma->  tile.o         +--> _engine.so
                             tile.c    --cc -DTILE_SUFFIX=avx512f -mavx512f ...>  tile.o --------+

Only the tiles are compiled for more than the baseline, so that nothing outside them can run an instruction that the
machine lacks; the extension chooses among them when it is imported. It is told that the x86 tiles are there by the
macro FASTCONV_X86_TILES.

Without a working compiler the package installs without the extension, with a warning; FASTCONV_REQUIRE_EXT=1 makes
that an error.
"""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NAME = "fastconv.backends._engine"
SOURCES = Path("src_cython")


@dataclass(frozen=True)
class Tile:
    """One compilation of tile.c: the suffix of its symbols, and the instruction set that it may use."""

    suffix: str
    flags: tuple[str, ...] = ()


GENERIC = Tile("generic")
X86_TILES = (
    Tile("avx2", ("-mavx2", "-mfma")),
    # Compilers default to 256-bit vectors on some AVX-512 machines; the tile's register count needs all 512.
    Tile("avx512f", ("-mavx512f", "-mavx2", "-mfma", "-mprefer-vector-width=512")),
)

# The engine rounds after every operation, on every machine: an average or a sum has the same bits everywhere.
ENGINE_FLAGS = ("-O3", "-ffp-contract=off")
# A tile is multiply-adds only: contracted to FMA they run at twice the rate and are rounded once instead of twice.
TILE_FLAGS = ("-O3", "-ffp-contract=fast")


def is_x86_64(platform):
    """Whether `platform`, as distutils names it ('linux-x86_64', 'win-amd64'), is 64-bit x86 and nothing besides."""
    return platform.endswith(("x86_64", "amd64"))


def tiles(platform):
    """The tiles to compile on `platform`."""
    return (GENERIC, *X86_TILES) if is_x86_64(platform) else (GENERIC,)


def required():
    """Whether a missing extension is an error."""
    return os.environ.get("FASTCONV_REQUIRE_EXT", "0") not in ("", "0")


def extensions():
    """The extension, if its sources are here: a checkout without them still installs, on Numba alone."""
    source = SOURCES / "engine.pyx"
    if not source.exists():
        if required():
            raise SystemExit(f"FASTCONV_REQUIRE_EXT is set, but {source} is missing")
        return []
    depends = [str(path) for path in sorted(SOURCES.glob("*")) if path.suffix in (".pyx", ".pxd", ".c", ".h")]
    return [Extension(NAME, [str(source)], include_dirs=[str(SOURCES)], depends=[*depends, "setup.py"],
                      optional=not required())]


class BuildExt(build_ext):
    """Compile the tiles, each for its instruction set, and link them to the extension."""

    def run(self):
        self.failed = []
        super().run()

    def copy_extensions_to_source(self):
        """After a build in place: one built earlier, from other sources, must not be taken for one that failed."""
        super().copy_extensions_to_source()
        for ext in self.failed:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)

    def build_extension(self, ext):
        try:
            self.add_tiles(ext)
            self.cythonize(ext)
            super().build_extension(ext)
        except Exception as error:  # a compiler fails in as many ways as there are compilers
            if required():
                raise
            self.failed.append(ext)
            warnings.warn(f"the extension {ext.name} could not be built, so the Cython backend will be missing; the "
                          f"others work without it. Its compiler said: {error}", stacklevel=1)

    def add_tiles(self, ext):
        unix = self.compiler.compiler_type != "msvc"
        ext.extra_compile_args = list(ENGINE_FLAGS) if unix else ["/O2"]
        source = SOURCES / "tile.c"
        if not source.exists():
            return
        chosen = tiles(self.plat_name) if unix else (GENERIC,)
        if len(chosen) > 1:
            ext.define_macros = [*ext.define_macros, ("FASTCONV_X86_TILES", "1")]
        for tile in chosen:
            ext.extra_objects = [*ext.extra_objects, *self.compiler.compile(
                [str(source)], output_dir=str(Path(self.build_temp, f"tile_{tile.suffix}")),
                macros=[("TILE_SUFFIX", tile.suffix)], include_dirs=[str(SOURCES)],
                extra_postargs=[*TILE_FLAGS, *tile.flags] if unix else ["/O2"])]

    def cythonize(self, ext):
        # Imported here, so that metadata can be read where Cython is not installed.
        from Cython.Build import cythonize
        # A bare extension: cythonize would copy everything that this one depends on into build_dir.
        bare = Extension(ext.name, ext.sources)
        ext.sources = cythonize([bare], build_dir=self.build_temp, language_level=3, quiet=True)[0].sources


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
