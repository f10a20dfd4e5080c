"""Probes: generators of commands that measure a WebSocket from outside, with no socket in sight.

Nothing is imported here, so that a probe of the opening handshake alone does not pay for the frames library.
"""
