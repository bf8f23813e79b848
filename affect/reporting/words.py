"""Small words in what is printed."""


def counted(count: int, one: str, many: str = "") -> str:
    """`1 trial`, `2 trials`; `many` where it is not `one` with an s: `1 person`, `2 people`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def probability(p: float) -> str:
    """Three digits of a p-value."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
