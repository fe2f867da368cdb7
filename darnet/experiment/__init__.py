"""A matrix of variants of the plan under one budget: run, compared, and written as a table."""

from darnet.experiment.rows import ROWS, Row, find_rows, plans_of
from darnet.experiment.run import NOT_SCORED, Experiment, ExperimentOptions
from darnet.experiment.table import Line, format_table, make_table, write_table

__all__ = [
    "NOT_SCORED",
    "ROWS",
    "Experiment",
    "ExperimentOptions",
    "Line",
    "Row",
    "find_rows",
    "format_table",
    "make_table",
    "plans_of",
    "write_table",
]
