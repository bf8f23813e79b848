"""The science: tensors in, embeddings, predictions and honest statistics out. Knows no dataset and no file."""

__version__ = "0.5.0"
