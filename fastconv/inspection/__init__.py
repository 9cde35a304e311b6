"""Looking into a network: `summary`, `check_gradients`, and pictures (`plots`, which need matplotlib when called)."""

from fastconv.inspection.gradients import GradientReport, check_gradients
from fastconv.inspection.plots import activation_grid, confusion, curves, filter_grid, hardest
from fastconv.inspection.summaries import ReceptiveField, Row, Summary, summary

__all__ = ["GradientReport", "ReceptiveField", "Row", "Summary", "activation_grid", "check_gradients", "confusion",
           "curves", "filter_grid", "hardest", "summary"]
