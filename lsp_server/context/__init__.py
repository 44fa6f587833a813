"""Which other files a model sees, and which parts of them.

May import the room text, and the settings.
"""
