"""The package's structure: which package may import which, no circle, and where Ray is used."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "xner_ray"
# Lowest first. A package imports from its own line and from lower ones.
LAYERS = [
    {"errors", "schema", "language_codes"},
    {"config", "text", "storage", "observability"},
    {"encoders", "corpora"},
    {"ner", "alignment", "projection", "training"},
    {"evaluation", "labeling", "sample"},
    {"preflight"},
    {"pipeline"},
    {"results"},
    {"workflows"},
    {"cli"},
]
RAY = ("pipeline/executors.py", "labeling/", "training/backends/", "observability/", "preflight/")


def modules() -> dict[str, ast.Module]:
    """Syntax trees by dotted name."""
    trees = {}
    for file in PACKAGE.rglob("*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        trees[name] = ast.parse(file.read_text(encoding="utf-8"), str(file))
    return trees


def imports(name: str, tree: ast.AST, known: set[str]) -> set[str]:
    """Modules of the package that a module imports, in functions, too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else node.module)
    return {x for x in found if x in known and x != name}


def graph() -> dict[str, set[str]]:
    trees = modules()
    return {name: imports(name, tree, set(trees)) for name, tree in trees.items()}


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_a_package_imports_only_from_its_own_layer_and_below():
    level = {package: n for n, layer in enumerate(LAYERS) for package in layer}
    assert {package_of(m) for m in graph()} - {""} == set(level)
    upward = [
        f"{module} imports {other}"
        for module, others in graph().items()
        for other in others
        if package_of(module) and package_of(other) and level[package_of(other)] > level[package_of(module)]
    ]
    assert not upward, "\n".join(sorted(upward))


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one node, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = []
            while not component or component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_no_module_imports_itself_through_others():
    assert circles(graph()) == []


def test_no_package_imports_itself_through_others():
    edges: dict[str, set[str]] = {}
    for module, others in graph().items():
        mine = edges.setdefault(package_of(module), set())
        mine |= {package_of(other) for other in others} - {package_of(module), ""}
    assert circles(edges) == []


def uses_ray(tree: ast.AST) -> bool:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return any(name == "ray" or name.startswith("ray.") for name in names)


def test_ray_is_imported_only_where_the_page_says():
    found = [
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if uses_ray(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert [file for file in found if not file.startswith(RAY)] == []
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for place in RAY:
        assert f"`{place}`" in page, f"docs/architecture.md does not name {place}"
