"""How results are kept, drawn and told: journal, plots, statistics, machine.

Imports no other room.
"""
