"""A decoder whose forward passes run in native kernels; see ``kernels/c/midfill.h``.

Decoding a token reads every weight once, so its time is that of memory plus whatever surrounds the
arithmetic; here that is one call. Prompts are bound by arithmetic: of bytes or in tiles in the
kernels, where the processor has instructions for that, else PyTorch's.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from ctypes import byref
from typing import TYPE_CHECKING

import numpy as np
import torch

from midfill.engine.kernels.bindings import FEW_TOKENS, FORMATS, MAX_TOKENS, CCache
from midfill.engine.model.masks import last_seen
from midfill.engine.model.rope import RotaryTable
from midfill.engine.scheduling.cancel import CancelledPassError

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from midfill.engine.kernels.weights import NativeWeights
    from midfill.engine.model.decoder import TreePositions
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.model.llama import LlamaModel
    from midfill.engine.scheduling.cancel import CancelFlag
    from midfill.weights.architecture import LlamaArchitecture


class NativeModel:
    """A ``LlamaModel`` for processors, with the same contract; hidden states are fp32.

    Args:
        architecture: The decoder's shape.
        dtype: The format of keys and values.
        weights: Its weights for the kernels.
        threads: How many the kernels have, and PyTorch in long passes.
        library: The kernels, from ``bindings.load``.
        long_passes: The decoder in PyTorch, for passes of more than ``FEW_TOKENS``, where the
            kernels have no fast arithmetic for its weights; None runs all in the kernels.
    """

    def __init__(
        self,
        architecture: LlamaArchitecture,
        dtype: torch.dtype,
        weights: NativeWeights,
        threads: int,
        library: ctypes.CDLL,
        long_passes: LlamaModel | None = None,
    ) -> None:
        self.architecture, self.dtype, self.device = architecture, dtype, torch.device("cpu")
        self._weights, self._library, self._long_passes = weights, library, long_passes
        self._threads = threads
        self._session = self._library.midfill_open(byref(weights.decoder), threads)
        if not self._session:
            raise MemoryError("too little memory for the buffers of the kernels")
        weakref.finalize(self, self._library.midfill_close, self._session)
        self._rope = RotaryTable(architecture, torch.float32, self.device)

    @property
    def parameters(self) -> int:
        """Weights in all matrices and norms, a tied head counted once."""
        return self._weights.parameters

    @property
    def format(self) -> str:
        """The format of most weights: bf16, fp32, int8 or int4."""
        return self._weights.format

    @property
    def weight_bytes(self) -> int:
        """What a pass of one token reads of them, for measurements; norms are too few."""
        return self._weights.nbytes or self.parameters * self.dtype.itemsize

    def forward(
        self,
        ids: Sequence[int],
        slot: Slot,
        cancel: CancelFlag | None = None,
        tree: TreePositions | None = None,
    ) -> torch.Tensor:
        """Run T new tokens behind a slot's S cached ones, and cache them.

        Args:
            ids: The tokens; no more than ``MAX_TOKENS`` with a tree.
            slot: The sequence.
            cancel: Ends the pass.
            tree: Where the tokens stand, if they are not the text that follows.

        Returns:
            The final hidden states, (T, hidden), fp32.

        Raises:
            CancelledPassError: ``cancel`` was set before the end; whole calls before that stay.
        """
        if self._long_passes and len(ids) > FEW_TOKENS:
            with _torch_threads(self._threads):
                return self._long_passes.forward(ids, slot, tree=tree).float()
        hidden = torch.empty(len(ids), self.architecture.hidden_size)
        for first in range(0, len(ids), MAX_TOKENS):
            self._forward(ids[first : first + MAX_TOKENS], slot, hidden[first:], cancel, tree)
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits in fp32, (T, V), of final hidden states (T, hidden)."""
        hidden = (hidden.float() / self.architecture.logits_scaling).contiguous()
        logits = torch.empty(len(hidden), self.architecture.vocab_size)
        for first in range(0, len(hidden), MAX_TOKENS):
            rows = hidden[first : first + MAX_TOKENS]
            self._library.midfill_logits(
                self._session, rows.data_ptr(), len(rows), logits[first:].data_ptr()
            )
        return logits

    def _forward(
        self,
        ids: Sequence[int],
        slot: Slot,
        hidden: torch.Tensor,
        cancel: CancelFlag | None,
        tree: TreePositions | None,
    ) -> None:
        """Up to MAX_TOKENS tokens; their states are written to the first rows of ``hidden``."""
        assert 0 <= min(ids) <= max(ids) < self.architecture.vocab_size, ids
        end = slot.length + len(ids)
        slot.reserve(end)
        kv = slot.keys_values
        cache = CCache(kv.data_ptr(), FORMATS[kv.dtype], kv.shape[3], slot.length)
        cos, sin = self._rope.at(slot.length, end)
        if tree:
            cos, sin = self._rope.of(tree.positions)
            seen = _seen_nodes(tree, self.architecture.sliding_window)
            positions = np.array(tree.positions, dtype=np.int64)
            cache.trunk, cache.seen = tree.trunk, seen.ctypes.data
            cache.positions = positions.ctypes.data
        tokens = torch.tensor(ids)
        is_whole = self._library.midfill_forward(
            self._session,
            tokens.data_ptr(),
            len(ids),
            byref(cache),
            cos.data_ptr(),
            sin.data_ptr(),
            None if cancel is None else cancel.address,
            hidden.data_ptr(),
        )
        if not is_whole:
            raise CancelledPassError
        slot.append(ids)


def _seen_nodes(tree: TreePositions, window: int) -> NDArray[np.uint8]:
    """What each token sees behind the trunk, for ``struct cache``: bit 1 without a window."""
    seen = torch.from_numpy(np.ascontiguousarray(tree.seen))
    near = last_seen(seen, window) if window else seen
    return (seen.byte() + 2 * near.byte()).numpy()


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
