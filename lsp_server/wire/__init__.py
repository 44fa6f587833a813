"""How bytes become messages, in order and bounded, who may send them, and which are the end.

Imports nothing else of the server.
"""
