"""The Llama decoder as something to train: rows of several lengths, losses with weights, LoRA.

It computes what ``engine.model.llama`` computes (a test compares them), without a cache and with
gradients. The matrices run over all rows of a batch laid end to end, so that nothing is padded;
only attention looks at one row at a time.

With a LoRA rank (Hu et al. 2021) the matrices are fixed and W + (alpha / rank) B A takes their
place; the embeddings of new tokens are trained whole. Without, everything is trained.

On a GPU, attention runs over all rows in one kernel, and the parts of a layer around it and the
softmax of the loss are compiled: give it batches of one length, see ``steps.lay_out``.
Axes: N tokens of all rows, L tokens of one row, Hq query heads, Hkv key/value heads, D head width,
    V vocabulary, r rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn.functional import linear, rms_norm, silu
from torch.utils.checkpoint import checkpoint

from midfill.weights.families import LLAMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from midfill.weights.architecture import LlamaArchitecture

LOSS_CHUNK = {"cpu": 512, "cuda": 16_384}
"""Positions whose logits are in memory at once."""
_SHORT_ROW = 768
_BLOCK = 256
"""Tokens. On a processor, plain products and a softmax over so many queries at once (up to a short
row: over all) are faster than torch's fused attention: about twice at 4,096 and 8,192 tokens,
forward and backward."""

LINEARS = tuple(tuple(names) for names in LLAMA.inputs().values())
"""Transformers' matrices that are one here."""


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """The size and scale of the update."""

    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / self.rank


class TrainedLinear(nn.Module):
    """Some matrices that share their input, one above the other: fixed with LoRA, or trained."""

    weight: torch.Tensor

    def __init__(self, parts: Sequence[torch.Tensor], lora: LoraConfig | None) -> None:
        super().__init__()
        weight = torch.cat(list(parts))
        self.rows = [len(part) for part in parts]
        self.lora = lora
        if lora is None:
            self.weight = nn.Parameter(weight.float())
            return
        self.register_buffer("weight", weight, persistent=False)
        bound = 1 / math.sqrt(weight.shape[1])  # Kaiming with a = sqrt(5), as in the LoRA code
        a = torch.empty(len(parts), lora.rank, weight.shape[1]).uniform_(-bound, bound)
        self.lora_a = nn.Parameter(a)
        self.lora_b = nn.ParameterList(torch.zeros(rows, lora.rank) for rows in self.rows)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in) to (N, all rows)."""
        if self.lora is None:
            return linear(x, self.weight.to(x.dtype))
        if x.is_cuda:
            return linear(x, self.merged(x.dtype))
        out = linear(x, self.weight.to(x.dtype))
        down = linear(x, self.lora_a.flatten(0, 1).to(x.dtype))
        up = torch.block_diag(*self.lora_b).to(x.dtype)
        return torch.addmm(out, down, up.T, alpha=self.lora.scale)

    def merged(self, dtype: torch.dtype) -> torch.Tensor:
        """W + (alpha / rank) B A: cheaper than the update beside it once tokens are many."""
        assert self.lora is not None, "there is no update"
        factors = zip(self.lora_b, self.lora_a.to(dtype), strict=True)
        update = torch.cat([b.to(dtype) @ a for b, a in factors])
        return torch.add(self.weight.to(dtype), update, alpha=self.lora.scale)


@dataclass(frozen=True, slots=True)
class Rows:
    """The places of rows laid end to end."""

    lengths: Sequence[int]
    """Tokens of each row."""
    ends: torch.Tensor
    """0 and the sums of the lengths, int32, on the device of the tokens."""

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Rows:
        """Rows of these lengths."""
        ends = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
        return cls(lengths, ends.to(device))

    def positions(self) -> torch.Tensor:
        """The position of each token in its row, (N,)."""
        every = torch.arange(sum(self.lengths), device=self.ends.device)
        lengths = self.ends.diff()
        starts = self.ends[:-1].repeat_interleave(lengths, output_size=len(every))
        return every - starts


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False)


class TrainedLayer(nn.Module):
    """One decoder layer."""

    input_layernorm: torch.Tensor
    post_attention_layernorm: torch.Tensor

    def __init__(
        self,
        architecture: LlamaArchitecture,
        tensors: Mapping[str, torch.Tensor],
        lora: LoraConfig | None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.qkv_proj, self.o_proj, self.gate_up_proj, self.down_proj = (
            TrainedLinear([tensors[f"{name}.weight"] for name in names], lora) for names in LINEARS
        )
        for name in ("input_layernorm", "post_attention_layernorm"):
            weight = tensors[f"{name}.weight"]
            if lora is None:
                self.register_parameter(name, nn.Parameter(weight.float()))
            else:
                self.register_buffer(name, weight, persistent=False)

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, rows: Rows
    ) -> torch.Tensor:
        """(N, hidden) to (N, hidden)."""
        before, behind = TrainedLayer.before, TrainedLayer.behind
        if x.is_cuda:
            before, behind = _compiled(before), _compiled(behind)
        return behind(self, x, attend(*before(self, x, cos, sin), rows))

    def before(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What attention needs: (N, Hq, D), and twice (N, Hkv, D)."""
        a = self.architecture
        heads = self.qkv_proj(self._norm(x, self.input_layernorm))
        heads = heads.view(len(x), -1, a.head_dim)
        rotary, values = heads.split(
            (a.num_attention_heads + a.num_key_value_heads, a.num_key_value_heads), 1
        )
        rotary = _rotate(rotary, cos, sin)
        queries, keys = rotary.split((a.num_attention_heads, a.num_key_value_heads), 1)
        return queries, keys, values

    def behind(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """The layer's result, from its input and what attention gave: both (N, hidden)."""
        x = x + self.o_proj(attended)
        gate, up = self.gate_up_proj(self._norm(x, self.post_attention_layernorm)).chunk(2, -1)
        down: torch.Tensor = self.down_proj(silu(gate) * up)
        return x + down

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, weight.shape, weight.to(x.dtype), self.architecture.rms_norm_eps)


class TrainedModel(nn.Module):
    """A decoder with tied embeddings whose vocabulary has grown.

    Args:
        architecture: The base's, with the new vocabulary size and the rope base to be trained.
        tensors: The base's, by transformers' names, in the dtype that it shall run in.
        lora: None trains all weights.
        dtype: The format of activations.
        like: The tokens at the mean of whose embeddings new ones start; none: at that of all.
    """

    fixed_embeddings: torch.Tensor
    norm: torch.Tensor

    def __init__(
        self,
        architecture: LlamaArchitecture,
        tensors: Mapping[str, torch.Tensor],
        lora: LoraConfig | None,
        dtype: torch.dtype,
        like: Sequence[int] = (),
    ) -> None:
        super().__init__()
        assert architecture.tie_word_embeddings, "a head of its own is not implemented"
        self.architecture = architecture
        self.dtype = dtype
        self.recompute = False
        """Whether the backward pass computes each layer again, which saves its activations."""
        known = tensors["model.embed_tokens.weight"]
        added = architecture.vocab_size - len(known)
        mean = known[list(like)].float().mean(0) if like else known.float().mean(0)
        rows = mean + 0.02 * known.float().std() * torch.randn(added, known.shape[1])
        fixed, trained = (known, rows) if lora else (known[:0], torch.cat([known.float(), rows]))
        self.register_buffer("fixed_embeddings", fixed, persistent=False)
        self.trained_embeddings = nn.Parameter(trained)
        self.layers = nn.ModuleList(
            TrainedLayer(architecture, _behind(f"model.layers.{index}.", tensors), lora)
            for index in range(architecture.num_hidden_layers)
        )
        norm = tensors["model.norm.weight"]
        if lora:
            self.register_buffer("norm", norm, persistent=False)
        else:
            self.norm = nn.Parameter(norm.float())

    def blocks(self) -> list[TrainedLayer]:
        """The decoder layers."""
        return cast("list[TrainedLayer]", list(self.layers))

    def hidden(self, ids: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Final hidden states, (N, hidden), of rows of token ids laid end to end, (N,)."""
        rows = Rows.of(lengths, ids.device)
        cos, sin = self._angles(rows.positions())
        x = self._embed(ids)
        for layer in self.layers:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(layer, x, cos, sin, rows, use_reentrant=False)
            else:
                x = layer(x, cos, sin, rows)
        return rms_norm(x, self.norm.shape, self.norm.to(x.dtype), self.architecture.rms_norm_eps)

    def forward(
        self,
        ids: torch.Tensor,
        lengths: Sequence[int],
        targets: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted sum of the losses, and each loss without its weight.

        Args:
            ids: (N,), rows laid end to end.
            lengths: Tokens of each row.
            targets: The token that follows each; anything where the weight is 0. (N,)
            weights: The weight of each loss, (N,); 0 costs nothing on a processor.

        Returns:
            A scalar with a gradient, and (N,) without: 0 where the weight is.
        """
        hidden = self.hidden(ids, lengths)
        embeddings = self.fixed_embeddings, self.trained_embeddings
        loss = cast("Any", _LinearCrossEntropy).apply
        if hidden.is_cuda:  # there all positions, as choosing some would wait for the device
            total, losses = loss(hidden, *embeddings, targets, weights)
            return total, losses * (weights > 0)
        chosen = weights.nonzero()[:, 0]
        total, losses = loss(hidden[chosen], *embeddings, targets[chosen], weights[chosen])
        return total, losses.new_zeros(len(ids)).index_put((chosen,), losses)

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        known = len(self.fixed_embeddings)
        if not known:
            return self.trained_embeddings.to(self.dtype)[ids]
        new = ids >= known
        x = self.fixed_embeddings[ids.clamp(max=known - 1)].to(self.dtype)
        return x.index_put((new,), self.trained_embeddings.to(self.dtype)[ids[new] - known])

    def _angles(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of all positions, each (N, 1, D / 2)."""
        a = self.architecture
        assert a.rope_scaling is None, "scaled rotary angles are not implemented"
        steps = torch.arange(0, a.head_dim, 2, device=positions.device).float()
        inverse = a.rope_theta ** (-steps / a.head_dim)
        angles = torch.outer(positions.float(), inverse)[:, None]
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)


def _behind(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names start with a prefix, by the rest of their names."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, rows: Rows
) -> torch.Tensor:
    """Causal grouped-query attention in each row: (N, Hq, D), (N, Hkv, D) twice to (N, Hq * D)."""
    if queries.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        group = queries.shape[1] // keys.shape[1]
        keys, values = (part.repeat_interleave(group, 1) for part in (keys, values))
        longest = max(rows.lengths)
        ends = rows.ends, rows.ends, longest, longest
        attended = varlen_attn(queries, keys, values, *ends, window_size=(-1, 0))
        return cast("torch.Tensor", attended).flatten(1)
    lengths = list(rows.lengths)
    parts = zip(queries.split(lengths), keys.split(lengths), values.split(lengths), strict=True)
    return torch.cat([_attend_row(*part) for part in parts])


def _attend_row(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The same in one row, block by block."""
    length, kv_heads = len(queries), keys.shape[1]
    grouped = queries.view(length, kv_heads, -1, queries.shape[-1]).permute(1, 2, 0, 3)
    keys, values = keys.permute(1, 2, 0), values.transpose(0, 1)
    block = length if length <= _SHORT_ROW else _BLOCK
    parts = [
        _attend_block(grouped[:, :, start : start + block], keys, values, start)
        for start in range(0, length, block)
    ]
    return torch.cat(parts, 2).permute(2, 0, 1, 3).reshape(length, -1)


def _attend_block(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, start: int
) -> torch.Tensor:
    """The same for queries of positions from ``start`` on: (Hkv, Hq / Hkv, B, D) in and out."""
    kv_heads, group, rows, width = queries.shape
    end = start + rows
    scores = torch.bmm(queries.reshape(kv_heads, group * rows, width), keys[:, :, :end])
    future = torch.full((rows, end), -math.inf, dtype=scores.dtype).triu_(start + 1)
    scores = scores.view(kv_heads, group, rows, end) * width**-0.5 + future
    shares = scores.softmax(-1).view(kv_heads, group * rows, end)
    return torch.bmm(shares, values[:, :end]).view(kv_heads, group, rows, width)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding with halves, as in ``engine.model.rope``; x is (N, heads, D)."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def _errors(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses, (P,), and the weighted gradient of the logits but at the targets: (P, V) twice."""
    wide = logits.float()
    normalizer = wide.logsumexp(-1, keepdim=True)
    losses = (normalizer - wide.gather(1, targets[:, None]))[:, 0]
    return losses, ((wide - normalizer).exp() * weights[:, None]).to(logits.dtype)


class _LinearCrossEntropy(torch.autograd.Function):
    """Head and cross entropy in one, chunk by chunk: logits exist for LOSS_CHUNK positions only.

    The gradient is computed on the way, since the loss is where backward starts.
    """

    @staticmethod
    def forward(ctx, hidden, fixed, trained, targets, weights):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN205
        head = torch.cat([fixed.to(hidden.dtype), trained.to(hidden.dtype)])
        known, chunk = len(fixed), LOSS_CHUNK[hidden.device.type]
        softmax = _compiled(_errors) if hidden.is_cuda else _errors
        grad_hidden = torch.empty_like(hidden)
        grad_trained = torch.zeros(trained.shape, dtype=torch.float32, device=trained.device)
        losses = []
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            loss, errors = softmax(linear(hidden[part], head), targets[part], weights[part])
            losses.append(loss)
            of_targets = ((-loss).exp() - 1) * weights[part]
            errors.scatter_(1, targets[part, None], of_targets[:, None].to(errors.dtype))
            grad_hidden[part] = errors @ head
            grad_trained += (errors[:, known:].T @ hidden[part]).float()
        every = torch.cat(losses) if losses else weights
        ctx.save_for_backward(grad_hidden, grad_trained.to(trained.dtype))
        ctx.mark_non_differentiable(every)
        return (every * weights).sum(), every

    @staticmethod
    def backward(ctx, grad, _):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN205
        grad_hidden, grad_trained = ctx.saved_tensors
        return grad_hidden * grad, None, grad_trained * grad, None, None


def named_parts(model: TrainedModel) -> Iterator[tuple[list[str], TrainedLinear]]:
    """All matrices, with the names that transformers has for their parts."""
    for index, layer in enumerate(model.blocks()):
        parts = (layer.qkv_proj, layer.o_proj, layer.gate_up_proj, layer.down_proj)
        for names, trained in zip(LINEARS, parts, strict=True):
            yield [f"model.layers.{index}.{name}" for name in names], trained
