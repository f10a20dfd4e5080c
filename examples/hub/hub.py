"""A hub: every line that one backend sends reaches all of them, the sender too.

It stands for what you already run, such as Redis (PUBLISH and SUBSCRIBE), NATS or PostgreSQL (LISTEN and NOTIFY): a
chat behind several processes needs one.  A Unix socket, so that no web page and no other user can talk to it.

    python hub.py hub.sock
"""

from __future__ import annotations

import asyncio
import os
import sys

backends: set[asyncio.StreamWriter] = set()


async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what one backend says."""
    backends.add(writer)
    try:
        async for line in reader:
            for backend in backends:
                backend.write(line)
    except (OSError, ValueError):  # the backend is gone, or sent a line that has no end
        pass
    finally:
        backends.discard(writer)
        writer.close()


async def main(path: str) -> None:
    """Serve at a path, for this user alone."""
    os.umask(0o177)
    server = await asyncio.start_unix_server(listen, path)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
