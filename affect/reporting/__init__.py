"""Numbers → what people read."""
