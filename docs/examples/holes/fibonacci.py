def fibonacci(n):
    """The nth number of Fibonacci, from 0."""
    a, b = 0, 1
    <hole>
    return a
