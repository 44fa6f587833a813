"""Where generated text ends.

May import the rooms model and tokens.
"""
