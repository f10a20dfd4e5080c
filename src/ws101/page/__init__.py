"""The offline page's half in Python: what was dropped becomes a configuration, a question becomes an answer.

The page (``tools/page``) runs this in the browser.  All of it is pure: bytes and JSON come in, JSON goes out.
"""
