"""Which module of the package may import what, and a walk over the syntax trees that finds breaches."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

PACKAGE = "elegans_gnn"

# Imports go upwards in this list only; components of one line do not know each other.
LAYERS = (
    ("errors",),
    ("_lazy", "_paths", "_shapes", "_text"),
    ("connectome",),
    ("graphs",),
    ("sparse",),
    ("ops",),
    ("nn",),
    ("models",),
    ("datasets", "viz"),
    ("training",),
    ("analysis",),
    ("study",),
    ("commands",),
    ("cli",),
)
RANK = {component: rank for rank, layer in enumerate(LAYERS) for component in layer}

# Third-party packages and the only files that may import them.
FENCES = {
    "triton": ("ops/*triton*",),
    "matplotlib": ("viz/*",),
    "plotly": ("viz/*",),
    "torchvision": ("datasets/*", "models/*"),
    "lightning": ("training/*",),
    "pytorch_lightning": ("training/*",),
    "ray": ("study/*",),
    "torch_geometric": ("nn/*", "connectome/_pyg.py"),
    "torch_scatter": ("ops/*scatter*",),
}

# These answer before torch has loaded: nothing heavy while the module itself is imported.
LIGHT = ("__init__", "errors", "_lazy", "_paths", "_text", "connectome", "graphs", "commands", "cli")
HEAVY = {"torch", "torch_geometric", "torchvision", "torchmetrics", "lightning", "matplotlib", "ray", "triton"}

# Files that import by a name from a table: of the extras, of a package's own names, of the backends beside it.
DYNAMIC = ("errors.py", "_lazy.py", "ops/_backends.py", "ops/synaptic/contract.py")
_BY_NAME = {"require", "import_module", "__import__"}


class Import(NamedTuple):
    """One imported module: its full name, where, whether while the file loads, and whether at run time at all."""

    module: str
    line: int
    at_top: bool
    at_run_time: bool


def breaches(root: Path) -> list[str]:
    """Everything that breaks the rules in the package at `root`, one line each."""
    home = facade(root)
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        for item in imports(path.read_text(encoding="utf-8"), place, home):
            found += [f"{place.as_posix()}:{item.line}: {problem}" for problem in _problems(item, place)]
    return found


def facade(root: Path) -> dict[str, str]:
    """Name -> component for what the package itself re-exports lazily, read from its `_HOME` table."""
    for node in ast.parse((root / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            table: dict[str, str] = ast.literal_eval(node.value)
            return table
    return {}


def imports(source: str, place: Path, home: dict[str, str]) -> Iterator[Import]:
    """Every import of a file, at any depth, with relative and by-name imports made absolute."""
    package = [PACKAGE, *place.parent.parts]
    yield from _walk(ast.parse(source), package, home, at_top=True, at_run_time=True)


def _walk(
    node: ast.AST, package: list[str], home: dict[str, str], *, at_top: bool, at_run_time: bool
) -> Iterator[Import]:
    for module in _modules(node, package, home):
        yield Import(module, getattr(node, "lineno", 0), at_top, at_run_time)
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for child in node.body:
            yield from _walk(child, package, home, at_top=at_top, at_run_time=False)
        for child in node.orelse:
            yield from _walk(child, package, home, at_top=at_top, at_run_time=at_run_time)
        return
    inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, package, home, at_top=at_top and not inside, at_run_time=at_run_time)


def _modules(node: ast.AST, package: list[str], home: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) + 1 - node.level] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        if module != PACKAGE:
            yield module
            return
        for alias in node.names:
            component = home.get(alias.name, alias.name)
            yield f"{PACKAGE}.{component}" if component in RANK else PACKAGE
    elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rpartition(".")[2] in _BY_NAME:
        first = node.args[0]
        yield first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "?"


def _problems(item: Import, place: Path) -> Iterator[str]:
    importer = place.parts[0].removesuffix(".py")
    top, _, rest = item.module.partition(".")
    if top == "?":
        if place.as_posix() not in DYNAMIC:
            yield "imports by a computed name"
        return
    if top == PACKAGE:
        yield from _order(importer, rest.partition(".")[0], item)
        return
    # Annotations need no package at run time, so what only the type checker imports is not fenced.
    if not item.at_run_time:
        return
    fence = FENCES.get(top)
    if fence is not None and not any(fnmatch(place.as_posix(), pattern) for pattern in fence):
        yield f"{top} belongs into {' and '.join(fence)}"
    if item.at_top and importer in LIGHT and top in HEAVY:
        yield f"{top} must not be imported at the top of {importer}"


def _order(importer: str, imported: str, item: Import) -> Iterator[str]:
    """What a layer may know of the others; knowing a type is knowing the layer, so type checking counts too."""
    if importer == "__init__":
        # The package itself names everything for type checkers and loads nothing but its own tool.
        if item.at_run_time and imported not in ("_lazy", "_paths"):
            yield f"the package imports {imported} when it is imported itself"
        return
    if imported == "" or imported == importer:
        return
    for component in (importer, imported):
        if component not in RANK:
            yield f"{component} has no place in the layer order"
            return
    if RANK[imported] >= RANK[importer]:
        yield f"{importer} is below {imported} in the layer order and must not import it"
