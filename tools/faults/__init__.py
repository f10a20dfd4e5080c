"""Faults injected into changes of a running nginx, at length: ``python -m tools.faults`` (``make faults``).

``site``   a real nginx, the change that is made to it, and what must hold afterwards
``kills``  kill -9 at every step and at random moments, of the change and of its recovery
``cases``  everything else that can go wrong: refused tests and reloads, full disks, files that change or vanish
``load``   open sockets and steady traffic while changes are applied, rolled back, and nginx is merely reloaded
``page``   the figures as docs/reliability.md

The tests run every case once and a sample of the rest.
"""
