"""What the engine is asked, and what of its answer is shown.

May import the rooms context, judgement and text, and the settings.
"""
