"""The canonical config keys: the guide's own, and ours where it has none."""

from __future__ import annotations

from advisor.dialects.keys import KINDS

CANONICAL_KEYS: frozenset[str] = frozenset(KINDS)
SECTIONS: frozenset[str] = frozenset(key.split(".")[0] for key in KINDS)
