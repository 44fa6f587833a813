"""How a model is trained: examples, shards, stages, steps, checkpoints.

Imports no other room.
"""
