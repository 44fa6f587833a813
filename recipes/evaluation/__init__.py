"""What a model is worth on problems, functions and repositories.

May import the rooms reports and sandbox.
"""
