"""A matrix of variants of the plan under one budget: run, compared, and written as a table."""

from darnet.experiment.rows import ROWS, Row
from darnet.experiment.run import NOT_SCORED, Experiment, ExperimentOptions
from darnet.experiment.table import format_table, make_table, write_table

__all__ = [
    "NOT_SCORED",
    "ROWS",
    "Experiment",
    "ExperimentOptions",
    "Row",
    "format_table",
    "make_table",
    "write_table",
]
