"""`report.html`: one page about a run that needs nothing else, to be read, printed and sent around."""

from cnnspec.training.report.write import write_report

__all__ = ["write_report"]
