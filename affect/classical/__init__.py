"""Classical models of features, through scikit-learn."""

from affect.classical.base import Classical

__all__ = ["Classical"]
