"""How requests of one client become suggestions: reuse, ask, read along.

May import the rooms request and text.
"""
