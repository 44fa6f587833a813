"""Which numbers are measured once and shipped with a model.

May import the rooms long_context and training.
"""
