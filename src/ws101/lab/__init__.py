"""A real nginx and real backends on the loopback address, as context managers.

``nginx`` runs any nginx in a private folder.  ``backends`` holds what stands behind it: ``Recorder`` keeps the exact
bytes of every request; ``StoryApp`` is a WebSocket application that answers a request without upgrade headers with 400.
"""
