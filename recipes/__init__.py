"""What is run by hand: a room each for making, training and measuring models.

May import every package below: lsp_server, engine, weights. ``options``, which every room may
import, is how a room's settings tell the command line what to ask for.
"""
