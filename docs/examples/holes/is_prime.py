def is_prime(n):
    """Whether n is a prime number."""
    if n < 2:
        return False
    for divisor<hole>
    return True
