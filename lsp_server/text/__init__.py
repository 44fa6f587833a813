"""What the documents say, at which position and in which language.

Imports no other room.
"""
