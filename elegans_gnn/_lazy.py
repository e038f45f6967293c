"""Names that are imported at first use (PEP 562), so that importing a package costs nothing."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from elegans_gnn.errors import EXTRA_OF_MODULE, missing_extra


def lazy_names(
    package: str,
    home: Mapping[str, str],
    submodules: Iterable[str] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose names live in its modules.

    Args:
        package: its full name.
        home: public name -> module, relative to the package.
        submodules: modules that are reachable as attributes themselves.
        renamed: former public name -> its present one; using it warns.
    """
    modules = frozenset(submodules)

    def get(name: str) -> Any:
        if name in renamed:
            message = f"{package}.{name} is now called {renamed[name]}"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return get(renamed[name])
        if name in home:
            value = getattr(_load(f"{package}.{home[name]}"), name)
            setattr(sys.modules[package], name, value)
            return value
        if name in modules:
            return _load(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home, *modules})

    return get, listed


def _load(module: str) -> ModuleType:
    """Import one of our modules; if an optional package is missing for it, say which extra installs that."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        absent = (error.name or "").partition(".")[0]
        if absent not in EXTRA_OF_MODULE:
            raise
        raise missing_extra(absent) from error
