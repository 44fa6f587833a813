def reverse_words(text):
    """The words of a text in reverse order."""
    words = text.spl<hole>
    return ' '.join(reversed(words))
