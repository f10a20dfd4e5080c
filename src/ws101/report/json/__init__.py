"""JSON reports: one module a command; the keys and their order are an API (docs/reference/formats.md).

Every report is a dict of plain values, and ``dump`` turns it into text.  Paths and configuration text are UTF-8; header
values and raw requests are latin-1 decodings of their bytes.
"""
