"""The page of an experiment: one HTML file, made from its folder."""

from experiments.report.figures import brief, whole
from experiments.report.folder import ExperimentFolder
from experiments.report.page import write_page

__all__ = ["ExperimentFolder", "brief", "whole", "write_page"]
