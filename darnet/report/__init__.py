"""The report: one HTML file that shows a data set, its plan, and what each stage has made of it."""

from darnet.report.page import ReportInputs, write_report

__all__ = ["ReportInputs", "write_report"]
