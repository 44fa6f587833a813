"""What the engine is asked, and what of its answer is shown.

May import the rooms context and text, and the settings.
"""
