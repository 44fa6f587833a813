"""What is run by hand: a room each for making, training and measuring models.

May import every package below: lsp_server, engine, weights.
"""
