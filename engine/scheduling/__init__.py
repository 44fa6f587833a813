"""Whose turn it is, and how chunks and cancels travel between threads.

Imports no other room.
"""
