"""Keep progress bars and warnings of libraries off the console."""

from __future__ import annotations

import os
import sys
import warnings


def quieten() -> None:
    """Silence what no user can change; PYTHONWARNINGS and TRANSFORMERS_VERBOSITY still count.

    Downloads keep their bars: they take long, and show them on a terminal only.
    """
    if not sys.warnoptions:
        for kind in (FutureWarning, DeprecationWarning, UserWarning):
            warnings.simplefilter("ignore", kind)
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    logging.disable_progress_bar()
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()
    if "HF_HUB_VERBOSITY" not in os.environ:
        hub_logging.set_verbosity_error()
