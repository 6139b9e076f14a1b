"""The model: loading, adapters, attention over documents, the loss on labels."""

import logging

# on import it warns of an inference kernel that training does not use
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
