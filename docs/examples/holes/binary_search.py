def binary_search(items, wanted):
    """The place of an item in a sorted list, -1 if it is not there."""
    low, high = 0, len(items) - 1
    while low <= high:
        middle = (low + high) // 2
        if items[middle] == wanted:
            return middle
        <hole>
    return -1
