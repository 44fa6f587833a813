"""How each file format becomes a ``Checkpoint``, or is refused: nothing is guessed.

Imports the modules of ``weights`` above it only.
"""
