"""Statistics of a text; ``make demo`` fills the hole below."""


def longest_word(text: str) -> str:
    """The longest word of the text; the first one if several are as long."""
    longest = ""
    for word in text.split():
        if len(word) > len(longest):
            longest = word
    return longest


def word_counts(text: str) -> dict[str, int]:
    """How often each word occurs in the text, whether in upper or lower case."""
    words = text.lower().split()
    counts = dict.fromkeys(words, 0)
    # <hole>
    return counts
