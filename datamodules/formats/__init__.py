"""Readers of file formats, for corpora of any kind: what is cut off, damaged or not as announced is refused by name."""
