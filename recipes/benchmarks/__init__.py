"""How fast the engine is, beside llama.cpp: prompts, decode, drafts, openings.

May import the rooms keystrokes and reports.
"""
