"""How results are kept, drawn and told: journal, output, plots, statistics, machine.

Imports no other room.
"""
