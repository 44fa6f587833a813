"""How text and token ids become one another, whole, piece by piece and byte by byte.

Imports no other room.
"""
