"""What a result was made from: digests of code, lock file and configuration; the run card."""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
LOCK = ROOT / "requirements.lock"
TEMPLATES = (".html", ".css", ".js")


@functools.cache
def code_digest(module: str) -> str:
    """Digest of ``module`` and of every module of this package that it imports, directly or not.

    Syntax trees without docstrings are hashed, so a comment, a docstring or a reformatting does
    not count as a change; templates that lie in a package are hashed as they are.
    """
    hasher = hashlib.sha256()
    for name in sorted(import_closure(module)):
        hasher.update(name.encode())
        hasher.update(ast.dump(_without_docstrings(_parse(name))).encode())
        for path in _templates(name):
            hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]


@functools.cache
def lock_digest() -> str:
    """Digest of the lock file's requirements (comments do not count)."""
    lines = (line.split("#")[0].strip() for line in LOCK.read_text(encoding="utf-8").splitlines())
    return hashlib.sha256("\n".join(line for line in lines if line).encode()).hexdigest()[:16]


def import_closure(module: str) -> set[str]:
    """Names of the package's modules that are run when ``module`` is imported and used."""
    closure: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in closure or _file(name) is None:
            continue
        closure.add(name)
        if "." in name:
            todo.append(name.rpartition(".")[0])  # a package's __init__ runs before its modules
        for node in _run(_parse(name)):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return closure


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those for type checkers alone."""
    yield node
    if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from _run(child)


def _file(module: str) -> Path | None:
    if module.split(".")[0] != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _templates(module: str) -> list[Path]:
    path = _file(module)
    inside = path.parent.iterdir() if path and path.name == "__init__.py" else ()
    return sorted(p for p in inside if p.suffix in TEMPLATES)


@functools.cache
def _parse(module: str) -> ast.Module:
    path = _file(module)
    assert path is not None
    return ast.parse(path.read_text(encoding="utf-8"))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    tree = ast.parse(ast.unparse(tree))  # a copy, for the cached tree must stay as it is
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree
