"""The machine: files, processes, sockets, the browser; with ``lab`` and ``cli`` the only rooms that touch it."""
