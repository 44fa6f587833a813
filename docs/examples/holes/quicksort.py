def quicksort(items):
    """The items in order."""
    if len(items) < 2:
        return items
    pivot = items[0]
    <hole>
    return quicksort(left) + [pivot] + quicksort(right)
