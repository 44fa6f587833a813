"""Which text a model is trained on: packages, their licences, filters.

Imports no other room.
"""
