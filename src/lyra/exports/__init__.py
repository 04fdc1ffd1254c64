"""Scenes for other programs: every export is read again, rendered and compared before it is called done."""

from lyra.exports.exporting import ExportReport, export

__all__ = ["ExportReport", "export"]
