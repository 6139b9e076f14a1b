"""The scripts of benchmarks/ by the names that `python -m benchmarks.NAME` takes."""

from benchmarks.places import BENCHMARKS, CACHE

_BEGINS = 'if __name__ == "__main__":'
MODULES = [path for path in sorted(BENCHMARKS.rglob("*.py")) if CACHE not in path.parents]
SCRIPTS = {
    ".".join(path.relative_to(BENCHMARKS).with_suffix("").parts): path
    for path in MODULES
    if _BEGINS in path.read_text(encoding="utf-8")
}
