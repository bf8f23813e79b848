"""Classical models of features, through scikit-learn."""

from affect.classical.base import Classical
from affect.classical.forest import ForestLeaves, RandomForest
from affect.classical.linear import LogisticRegression, Ridge
from affect.classical.naive_bayes import FisherNaiveBayes
from affect.classical.svm import SVM

__all__ = ["SVM", "Classical", "FisherNaiveBayes", "ForestLeaves", "LogisticRegression", "RandomForest", "Ridge"]
