"""Fixes that a finding offers beside its own, on a real nginx."""

from __future__ import annotations

from tests.rules.real import BACKEND, check_text, handshake, plain_outcomes, served
from ws101.findings import Safety
from ws101.fix import with_edits
from ws101.host.binary import NginxBinary
from ws101.lab.backends import Recorder

URL = "ws://example.com/ws"
SHARED = f"""\
events {{}}
http {{
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        ''      '';
    }}
    server {{
        listen 80;
        server_name example.com;
        location / {{
            proxy_pass http://{BACKEND};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_read_timeout 400ms;
        }}
    }}
}}
"""


def test_a_location_of_its_own_keeps_the_websocket_and_leaves_every_other_path_alone(binary: NginxBinary) -> None:
    report = check_text(SHARED, URL, build=binary.build)
    (finding,) = (item for item in report.findings if item.rule == "read-timeout")
    (offered,) = finding.other_fixes
    assert offered.title.startswith("give /ws a location of its own, copied from location /")
    fixed = {"nginx.conf": with_edits(report.config, offered.edits).sources["nginx.conf"].text}
    with Recorder() as backend:
        seen = []
        for files, stays in (({"nginx.conf": SHARED}, False), (fixed, True)):
            with served(files, backend, binary) as port:
                assert handshake(port, URL, stay=1.2) == (101, stays)
                assert handshake(port, "ws://example.com/other", stay=1.2) == (101, False)
                seen.append(
                    [plain.outcome for plain in plain_outcomes(port, backend, ("/", "/ws", "/ws/more", "/page"))]
                )
    assert seen[0] == seen[1]


RESET = f"""\
events {{}}
http {{
    server {{
        listen 80;
        server_name example.com;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_read_timeout 1h;
        location /ws {{
            proxy_set_header X-Real-IP $remote_addr;
            proxy_pass http://{BACKEND};
        }}
    }}
}}
"""


def test_all_that_a_list_of_fields_lost_can_be_restored_in_its_order(binary: NginxBinary) -> None:
    report = check_text(RESET, URL, build=binary.build)
    (finding,) = (item for item in report.findings if item.rule == "header-inheritance-reset")
    (offered,) = finding.other_fixes
    assert (offered.title, offered.safety) == (
        "restore all that location /ws lost: also Host, X-Forwarded-For", Safety.UNSAFE,
    )  # fmt: skip
    fixed = with_edits(report.config, offered.edits).sources["nginx.conf"].text
    with Recorder() as backend, served({"nginx.conf": fixed}, backend, binary) as port:
        assert handshake(port, URL) == (101, True)
        sent = backend.requests[-1]
    wanted = {"X-Real-IP": "127.0.0.1", "Host": "example.com", "X-Forwarded-For": "127.0.0.1", "Upgrade": "websocket"}
    assert {name: sent.header(name) for name in wanted} == wanted
    assert check_text(fixed, URL, build=binary.build).findings == ()
