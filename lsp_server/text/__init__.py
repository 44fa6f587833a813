"""What the documents say, at which position, in which language and in which file.

Imports nothing else of the server.
"""
