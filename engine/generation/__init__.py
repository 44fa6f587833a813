"""How one completion is written, or the best of several.

May import every other room but kernels.
"""
