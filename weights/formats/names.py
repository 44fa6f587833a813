"""Names of tensors that say nothing."""

from __future__ import annotations

import re

HUGGINGFACE_HARMLESS = re.compile(r"model\.layers\.[0-9]+\.self_attn\.rotary_emb\.inv_freq")
"""Buffers that old versions of transformers saved; they follow from ``rope_theta``."""
