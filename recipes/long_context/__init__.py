"""What a model makes of long texts: perplexity by position, key retrieval.

May import the rooms evaluation and reports.
"""
