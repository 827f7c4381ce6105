"""Fails where two folders of csrc include each other, directly or in a longer circle.

    python tools/includes.py [ROOT]     ROOT has the folder csrc [this repository]

Read are the lines `#include "..."` of every file in csrc. A folder is the first one below csrc;
files directly in csrc count as one folder, `.`. The includes in EXCEPTIONS are known and left out;
one that is there and does not exist any more is an error as well, so that the list only shrinks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

# Includes against the direction, each of which would close a circle. None may be added.
EXCEPTIONS: frozenset[str] = frozenset()

# from -> to -> the includes that lead from one folder to the other
Edges = dict[str, dict[str, list[str]]]


def folder(path: Path, csrc: Path) -> str:
    """The first folder below csrc that a file lies in."""
    parts = path.relative_to(csrc).parts
    return parts[0] if len(parts) > 1 else "."


def edges(csrc: Path) -> Edges:
    """The includes that lead from one folder into another."""
    found: Edges = {}
    for path in sorted(p for p in csrc.rglob("*") if p.suffix in SUFFIXES):
        for name in INCLUDE.findall(path.read_text()):
            target = next((p for p in (csrc / name, path.parent / name) if p.is_file()), None)
            if target is None:
                continue  # not of csrc
            here, there = folder(path, csrc), folder(target.resolve(), csrc.resolve())
            if here != there:
                line = f"{path.relative_to(csrc)} includes {name}"
                found.setdefault(here, {}).setdefault(there, []).append(line)
    return found


def without(graph: Edges, exceptions: frozenset[str]) -> Edges:
    """The graph but for these includes."""
    left: Edges = {}
    for here, targets in graph.items():
        for there, lines in targets.items():
            if kept := [line for line in lines if line not in exceptions]:
                left.setdefault(here, {})[there] = kept
    return left


def reachable(graph: Edges, start: str) -> set[str]:
    """The folders that `start` includes, directly or by way of others."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for there in graph.get(waiting.pop(), {}):
            if there not in seen:
                seen.add(there)
                waiting.append(there)
    return seen


def circles(graph: Edges) -> list[tuple[str, ...]]:
    """The largest sets of folders that all reach each other, sorted."""
    reach = {name: reachable(graph, name) for name in graph}
    sets = {
        tuple(sorted(b for b in reach[a] if a in reach.get(b, ()))) for a in graph if a in reach[a]
    }
    return sorted(sets)


def faults(csrc: Path, exceptions: frozenset[str] = EXCEPTIONS) -> list[str]:
    """What is wrong, in lines for people."""
    everything = edges(csrc)
    graph = without(everything, exceptions)
    found = []
    for circle in circles(graph):
        found.append(f"These folders of csrc include each other: {', '.join(circle)}")
        for here in circle:
            for there in sorted(set(circle) & set(graph[here])):
                found += [f"  {here} -> {there}: {line}" for line in graph[here][there]]
    present = {
        line for targets in everything.values() for some in targets.values() for line in some
    }
    found += [
        f"Not there any more, take it out of EXCEPTIONS: {e}" for e in sorted(exceptions - present)
    ]
    return found


def main(root: Path) -> int:
    """Prints what is wrong; 1 if something is."""
    found = faults(root / "csrc")
    print("\n".join(found) or f"includes: no circle but for {len(EXCEPTIONS)} known includes")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]))
