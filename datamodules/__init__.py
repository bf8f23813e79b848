"""The data: corpora on disk → cache → trials table → folds → windows. Knows files, not models."""
