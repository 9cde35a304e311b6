"""Looking into a network: `summary`, `check_gradients`, and pictures, which need matplotlib: `draw` and plots."""

from fastconv.inspection.drawing import draw
from fastconv.inspection.fields import ReceptiveField
from fastconv.inspection.gradients import GradientReport, check_gradients
from fastconv.inspection.plots import (
    activation_grid,
    confusion,
    curves,
    filter_grid,
    hardest,
    image_grid,
    receptive_field,
)
from fastconv.inspection.summaries import Row, Summary, summary

__all__ = ["GradientReport", "ReceptiveField", "Row", "Summary", "activation_grid", "check_gradients", "confusion",
           "curves", "draw", "filter_grid", "hardest", "image_grid", "receptive_field", "summary"]
