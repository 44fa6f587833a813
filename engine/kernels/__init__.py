"""The same computation in native kernels: C, bindings, packed weights.

May import the room model and scheduling.cancel.
"""
