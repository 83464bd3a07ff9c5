"""Reports: what came out of a sweep as one page of HTML, with its figures and tables beside it.

`material` loads and computes, `sections` says which words, tables and figures stand where, `html` makes the page and
`writing` the folder.
"""

from basinet.reporting.writing import PAGE, page, report

__all__ = ["PAGE", "page", "report"]
