"""Numbers → figures: each a function from plain numbers to a matplotlib Figure, all in one style."""
