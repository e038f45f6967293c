"""Finds and loads the native library, once, when it is first needed."""

from __future__ import annotations

import ctypes
import functools
import sys
import warnings
from pathlib import Path

# Layout version of the call block, see csrc/elegans_gnn.h.
_ABI = 1
_NAMES = {"win32": "elegans_gnn.dll", "darwin": "libelegans_gnn.dylib"}


def library_path() -> Path:
    """Where the package build installs the library (beside the Python files, also in an editable install)."""
    package = sys.modules[__name__.partition(".")[0]]
    name = _NAMES.get(sys.platform, "libelegans_gnn.so")
    found = [folder / name for folder in map(Path, package.__path__) if (folder / name).exists()]
    return found[0] if found else Path(package.__path__[0]) / name


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """The library, or None with one warning that says what its absence costs."""
    path = library_path()
    if not path.exists():
        warnings.warn(
            f"the native kernels were not built ({path} is missing): CPU aggregation runs in plain torch, about 10 "
            "times slower; install a C++17 compiler with OpenMP and reinstall elegans_gnn",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    library = ctypes.CDLL(str(path))
    library.elegans_forward.argtypes = library.elegans_backward.argtypes = [ctypes.c_char_p]
    found = library.elegans_abi()
    if found != _ABI:
        raise RuntimeError(f"{path} has call layout {found}, this package needs {_ABI}; reinstall elegans_gnn")
    return library
