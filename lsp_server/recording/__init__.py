"""What makes a fault reproducible: a session kept in a file, and played again from it.

May import the room wire, and the server that it plays to, with its messages and engine host.
"""
