"""How the text around a hole is laid out for a model.

May import the rooms stopping and tokens.
"""
