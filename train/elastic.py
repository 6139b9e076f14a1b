"""Runs torchrun for `advise train --nproc-per-node`, with quiet and exact failures.

torchrun alone prints its own traceback below a process's one-line error, and exits with 1
whatever status the process had.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Run torchrun's command line; return the exit status of the process that ended first."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    try:
        run.main(list(words))
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    except SignalException as error:
        return 128 + error.sigval
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
