"""What a keystroke costs, by replaying recorded editing sessions.

May import the room reports.
"""
