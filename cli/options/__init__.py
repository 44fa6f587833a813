"""Which arguments commands share, and the settings they give.

May import: the settings of the language server and of recipes.
"""
