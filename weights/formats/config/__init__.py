"""What ``config.json`` says of a model: its architecture, read strictly.

May import weights.architecture, weights.families and formats.strict.
"""
