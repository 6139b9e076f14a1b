"""``python -m train CONFIG``, also under torchrun.

Started by its path, as `advise train` does, it takes its packages from that path alone: a
train.py or advisor.py of somebody's own, wherever Python would look first, is not run.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _pin(name: str) -> None:
    """Load a package of ours from beside this file."""
    folder = _HERE.parent / name
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None  # a path always makes a spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


if not __package__:
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != _HERE]
    for _name in ("advisor", "train"):
        _pin(_name)

if __name__ == "__main__":
    from train.launch import main

    raise SystemExit(main(sys.argv[1:], os.environ))
