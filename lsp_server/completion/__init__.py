"""How requests of one client become suggestions: by what is known, by reading along, by asking.

May import the rooms request and text, the settings, and the host of the engine.
"""
