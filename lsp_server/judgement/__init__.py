"""Whether a text is worth showing where it would stand.

Imports nothing else of the server.
"""
