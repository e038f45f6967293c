"""Which module of the package may import what: walks over the syntax trees that find breaches and import circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import networkx as nx

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

# Files that import by a name from a table: of the extras, a package's own names, the data sets, the backends.
DYNAMIC = ("errors.py", "_lazy.py", "datasets/_registry.py", "ops/_backends.py")
_BY_NAME = {"require", "import_module", "__import__", "resolve_name"}


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
    return _home_table(ast.parse((root / "__init__.py").read_text(encoding="utf-8")))


def _home_table(tree: ast.Module) -> dict[str, str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            table: dict[str, str] = ast.literal_eval(node.value)
            return table
    return {}


def circles(root: Path) -> list[list[str]]:
    """Files of the package at `root` that import each other in a circle: one sorted list for each circle.

    Imports inside functions and for type checkers count. A name that is imported from a package leads to the file that
    defines it, through what the `__init__` files re-export; where that is unknown, to the `__init__` file itself.
    """
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py"))}
    files = {_module_name(path, root): path for path in trees}
    exports = {module: _exports(trees[path], module) for module, path in files.items() if path.name == "__init__.py"}
    graph = nx.DiGraph()
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        names = [pair for node in ast.walk(trees[path]) for pair in _names(node, package.split("."))]
        names += exports.get(module, {}).values()
        found = {_defining_file(*pair, files, exports) for pair in names} - {None, path}
        graph.add_edges_from((path, other) for other in found)
    parts = [
        sorted(path.relative_to(root).as_posix() for path in part) for part in nx.strongly_connected_components(graph)
    ]
    return sorted(part for part in parts if len(part) > 1)


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join([PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def _exports(tree: ast.Module, package: str) -> dict[str, tuple[str, str]]:
    """Name -> (module, name there) of all that an `__init__` file imports, at once or at first use."""
    table = {name: (f"{package}.{home}", name) for name, home in _home_table(tree).items()}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = _origin(node, package.split("."))
            table |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
    return table


def _names(node: ast.AST, package: list[str]) -> Iterator[tuple[str, str]]:
    """(module, name in it) of what a node imports; the name is empty where the module itself is meant."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((_origin(node, package), alias.name) for alias in node.names)
    elif (module := _by_name(node)) is not None:
        yield module, ""


def _defining_file(
    module: str, name: str, files: dict[str, Path], exports: dict[str, dict[str, tuple[str, str]]]
) -> Path | None:
    """The file that an import leads to; None outside the package."""
    seen: set[tuple[str, str]] = set()
    while (module, name) not in seen:
        seen.add((module, name))
        module, name = exports.get(module, {}).get(name, (module, name))
    return files.get(f"{module}.{name}", files.get(module))


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
        module = _origin(node, package)
        if module != PACKAGE:
            yield module
            return
        for alias in node.names:
            component = home.get(alias.name, alias.name)
            yield f"{PACKAGE}.{component}" if component in RANK else PACKAGE
    elif (name := _by_name(node)) is not None:
        yield name


def _origin(node: ast.ImportFrom, package: list[str]) -> str:
    """The full name of the module that a `from` statement names."""
    base = package[: len(package) + 1 - node.level] if node.level else []
    return ".".join([*base, *([node.module] if node.module else [])])


def _by_name(node: ast.AST) -> str | None:
    """What a call imports by name: "?" where the name is computed, None for any other node."""
    if not (isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rpartition(".")[2] in _BY_NAME):
        return None
    first = node.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "?"


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
