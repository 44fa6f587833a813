def word_counts(text):
    """How often each word occurs."""
    counts = {}
    for word in text.split():
        <hole>
    return counts
