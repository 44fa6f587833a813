"""Checkpoints: file formats, registry, store; a leaf that imports neither engine nor server."""
