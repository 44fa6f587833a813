"""What the model computes, in PyTorch: decoder, KV cache, prefill, token tree.

May import scheduling.cancel.
"""
