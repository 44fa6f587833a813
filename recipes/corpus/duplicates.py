"""Finds documents that say nearly the same as an earlier one (MinHash and LSH, by datasketch)."""

from __future__ import annotations

import hashlib

from datasketch import MinHash, MinHashLSH

from midfill.recipes.corpus.decontamination import words

SHINGLE = 5
"""Words in a row that are compared."""
PERMUTATIONS = 64
THRESHOLD = 0.75
"""Jaccard similarity of the sets of shingles."""


class Seen:
    """The documents kept so far; asked about each document once, in a fixed order."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._exact: set[bytes] = set()
        self._near = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
        self._blank = MinHash(num_perm=PERMUTATIONS, seed=seed)

    def fault(self, text: str) -> str | None:
        """Why the document is one too many; None if it is new, and it counts as seen from now."""
        found = list(words(text))
        digest = hashlib.sha256(" ".join(found).encode()).digest()
        if digest in self._exact:
            return "duplicate"
        self._exact.add(digest)
        sketch = self._blank.copy()
        ends = range(max(1, len(found) - SHINGLE + 1))
        sketch.update_batch(sorted({" ".join(found[i : i + SHINGLE]).encode() for i in ends}))
        if self._near.query(sketch):
            return "near duplicate"
        self._near.insert(digest, sketch, check_duplication=False)
        return None
