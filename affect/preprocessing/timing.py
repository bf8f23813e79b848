"""What every part that counts in seconds asks first."""

from affect.batch import Signal, StreamShape


def hertz(given: Signal | StreamShape) -> float:
    """Samples a second.

    Raises:
        ValueError: a still or another stream without time, or features.
    """
    if not given.rate:
        raise ValueError("a stream without time")
    return given.rate
