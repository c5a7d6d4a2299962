"""Fails where modules of a crate import each other in a circle: `module_circles.py`.

A file of `crates/*/src` is a module. It imports another one where it names a path into it, in a `use` or elsewhere. The
root of a crate or of a folder of modules counts like the others: what its own modules need is defined in one of them,
and not in the root that re-exports it.
"""

import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

CRATES = Path(__file__).resolve().parents[2] / "crates"


def main() -> None:
    circles = 0
    for source in sorted(CRATES.glob("*/src")):
        if found := circle(imports(source)):
            circles += 1
            print(f"{source.parent.name}: {' → '.join(map(name, found))}", file=sys.stderr)
    sys.exit(f"failed: {circles} crates have modules that import each other in a circle" if circles else None)


def circle(graph: dict[tuple[str, ...], set[tuple[str, ...]]]) -> list[tuple[str, ...]] | None:
    """Modules each of which imports its neighbour, the last one the same as the first."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def name(module: tuple[str, ...]) -> str:
    return "::".join(("crate", *module))


def imports(source: Path) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """Modules by path, each with those that it imports."""
    modules = {module_path(file.relative_to(source)): file for file in source.rglob("*.rs")}
    graph: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for module, file in modules.items():
        # Tests may name anything: they are no part of the product.
        text = re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", file.read_text())[0]
        text = re.sub(r"//.*", "", text)
        found = {nearest(resolved, modules) for path in paths(text) if (resolved := resolve(path, module, modules))}
        graph[module] = found - {module}
    return graph


def module_path(file: Path) -> tuple[str, ...]:
    parts = file.with_suffix("").parts
    return parts[:-1] if parts[-1] in ("lib", "main", "mod") else parts


def paths(text: str) -> Iterator[tuple[str, ...]]:
    """Every path in `use` declarations, braces expanded, and every other one from `crate`, `self` or `super`."""
    declarations = re.compile(r"\buse ([^;]+);")
    for tree in declarations.findall(text):
        yield from expand(re.sub(r"\s+", "", re.sub(r"\s+as\s+\w+", "", tree)))
    for path in re.findall(r"\b(?:crate|self|super)(?:::\w+)+", declarations.sub("", text)):
        yield tuple(path.split("::"))


def expand(tree: str) -> Iterator[tuple[str, ...]]:
    """`a::{b, c::{d}}` as (a, b) and (a, c, d)."""
    start = tree.find("{")
    if start < 0:
        yield tuple(part for part in tree.split("::") if part)
        return
    prefix = tuple(part for part in tree[:start].split("::") if part)
    depth, item = 0, ""
    for character in tree[start + 1 : tree.rindex("}")] + ",":
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            if item:
                yield from (prefix + rest for rest in expand(item))
            item = ""
        else:
            item += character


def resolve(path: tuple[str, ...], module: tuple[str, ...], modules: dict) -> tuple[str, ...] | None:
    """A path from the crate's root, or None where it leads out of the crate."""
    if path[0] == "crate":
        return path[1:]
    if path[0] == "self":
        return module + path[1:]
    base = module
    while path and path[0] == "super":
        base, path = base[:-1], path[1:]
    if base != module:
        return base + path
    return module + path if module + path[:1] in modules else None


def nearest(path: tuple[str, ...], modules: dict) -> tuple[str, ...]:
    """The innermost module that a path leads into."""
    while path not in modules:
        path = path[:-1]
    return path


if __name__ == "__main__":
    main()
