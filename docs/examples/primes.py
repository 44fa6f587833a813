"""Prime numbers; ``make demo`` lets the model write what is missing."""


def is_prime(n: int) -> bool:
    """Whether n is a prime number."""
    if n < 2:
        return False
    for # <hole>
    return True


def primes_below(limit: int) -> list[int]:
    """The prime numbers below the limit, in order."""
    return [n for n in range(limit) if is_prime(n)]
