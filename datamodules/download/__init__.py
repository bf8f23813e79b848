"""Fetching the open corpora: where they are, getting them, unpacking them."""
