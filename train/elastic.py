"""torchrun as `advise train --nproc-per-node` starts it: it ends when its processes end.

torchrun itself follows a process's one clear line with a traceback of its own, and gives 1 for
every exit status.
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
