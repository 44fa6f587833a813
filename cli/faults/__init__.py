"""What makes a fault reproducible: a recording of a session, its replay, a report to attach.

May import the command's other files, and all floors below.
"""
