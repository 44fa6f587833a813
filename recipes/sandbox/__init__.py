"""How generated programs run without harm, in processes with limits.

Imports no other room.
"""
