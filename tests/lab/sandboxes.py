"""Configurations to be tried: as a distribution lays them out, and with everything that reaches out of them."""

from __future__ import annotations

from pathlib import Path

from ws101.host.binary import NginxBinary
from ws101.host.files import DiskFiles
from ws101.lab.sandbox import Report, Wishes, try_configuration
from ws101.nginx.config import Config

DISTRIBUTION = {
    "nginx.conf": """\
user www-data;
worker_processes 2;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log warn;
events { worker_connections 768; }
http {
    include mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    include conf.d/*.conf;
    include FOLDER/sites-enabled/*;
}
""",
    "mime.types": "types {\n    text/html html;\n}\n",
    "conf.d/upgrade.conf": "map $http_upgrade $connection_upgrade {\n    default upgrade;\n    '' close;\n}\n",
    "conf.d/chat.conf": """\
upstream chat {
    server chat1.internal:3000 weight=2;
    server 10.0.0.7:3000 backup;
    keepalive 8;
}
""",
    "snippets/websocket.conf": """\
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
proxy_set_header Host $host;
""",
    "sites-enabled/example": """\
server {
    listen 80;
    listen [::]:80;
    server_name example.com www.example.com;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl http2;
    listen [::]:443 ssl http2;
    server_name example.com www.example.com;
    ssl_certificate     /etc/letsencrypt/live/example.com/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/example.com/privkey.pem;
    ssl_dhparam /etc/ssl/dhparam.pem;
    ssl_trusted_certificate chain.pem;
    ssl_stapling on;
    root /var/www/example;

    location / { try_files $uri $uri/ @app; }
    location @app {
        proxy_pass http://10.0.0.5:3000;
        proxy_set_header X-Port $server_port;
    }
    location /ws {
        include snippets/websocket.conf;
        proxy_read_timeout 1s;
        proxy_pass http://chat;
    }
    location /plain-ws/ { proxy_pass http://chat/; proxy_set_header Upgrade $http_upgrade; }
    location /admin/ {
        auth_basic "admin";
        auth_basic_user_file /etc/nginx/htpasswd;
        proxy_pass http://unix:/run/admin.sock:/;
    }
    location ~ ^/room/(\\d+)/live$ {
        resolver 127.0.0.53 valid=10s;
        set $backend app-$1.internal;
        proxy_pass http://$backend:4000;
        include snippets/websocket.conf;
        proxy_read_timeout 1h;
    }
}
""",
    "sites-enabled/other": """\
server {
    listen 80 default_server;
    listen [::]:80 default_server;
    server_name _;
    location / { proxy_pass http://localhost:8000; }
}
""",
}
"""What Debian installs, with a site of the usual kind."""

CORNERS = """\
events { }
http {
    proxy_cache_path /var/cache/nginx/pages keys_zone=pages:1m;
    limit_req_zone $binary_remote_addr zone=rate:1m rate=1r/m;
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    map $uri $target { default http://10.1.1.1:9000; ~^/map/(\\w+) http://10.1.1.2:9001; }
    upstream socket { server unix:/run/app.sock; }
    upstream secure { server 10.2.2.2:8443; server 10.2.2.3:8443 down; ip_hash; }
    server {
        listen 8080 proxy_protocol;
        listen unix:/run/front.sock;
        listen 127.0.0.1:8081;
        listen *:8082 backlog=64;
        listen [::]:8083 ipv6only=on so_keepalive=on;
        server_name ~^(?<tenant>[a-z]+)\\.example\\.org$ *.example.net;
        location / { proxy_pass http://socket; proxy_set_header Host $tenant; proxy_set_header X-B $proxy_host; }
        location = /secure {
            proxy_pass https://secure/up; proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem;
            proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }
        location ^~ /map/ { proxy_pass $target; }
        location /deep/ {
            location ~ "^/deep/(?:a|b)[0-9]{2,}\\.(json|xml)$" { proxy_pass http://127.0.0.1:5000; }
            proxy_pass http://localhost:5001/;
        }
        location /auth/ {
            auth_request /check; proxy_pass http://127.0.0.1:5000; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
        }
        location = /check { internal; proxy_pass http://127.0.0.1:5005/verify; proxy_pass_request_body off; }
        location /cached { proxy_cache pages; proxy_cache_valid 200 1h; proxy_pass http://127.0.0.1:5000; }
        location /if {
            if ($http_upgrade = websocket) { proxy_pass http://127.0.0.1:5009; }
            proxy_pass http://127.0.0.1:5008; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
        }
        location /but-get { limit_except GET { proxy_pass http://127.0.0.1:5010; } root html; }
        location /missing { error_page 404 = @fallback; return 404; }
        location @fallback { proxy_pass http://127.0.0.1:5011; }
        location /denied { allow 10.0.0.0/8; deny all; proxy_pass http://127.0.0.1:5000; }
        location = /slash { return 301 /slash/; proxy_pass http://127.0.0.1:5000; }
        location @never { proxy_pass http://127.0.0.1:5012; }
        location ~ (?=x)y { proxy_pass http://127.0.0.1:5013; }
        location /run-time { proxy_pass http://$http_x_backend; }
        location /clock { proxy_pass http://127.0.0.1:5000; proxy_set_header X-Msec $msec; }
        location /rate { limit_req zone=rate; proxy_pass http://127.0.0.1:5000; }
    }
    server {
        server_name nolisten.test;
        access_log syslog:server=10.0.0.1:514 combined;
        error_log syslog:server=10.0.0.1 info;
        set_real_ip_from balancer.internal;
        location / { proxy_pass http://127.0.0.1:5000; proxy_bind 10.0.0.2; }
    }
    server {
        listen 443 ssl default_server;
        ssl_certificate $ssl_server_name.pem; ssl_certificate_key data:$ssl_server_name;
        ssl_client_certificate /etc/ssl/clients.pem; ssl_verify_client on; ssl_crl /etc/ssl/crl.pem;
        ssl_protocols TLSv1.2; ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256; ssl_session_ticket_key /etc/ssl/ticket.key;
        location / { proxy_pass http://127.0.0.1:5000; proxy_set_header X-Verified $ssl_client_verify; }
    }
    server {
        listen 443 ssl; server_name elsewhere.test;
        ssl_certificate a.pem; ssl_certificate_key a.key;
        return 301 http://$host:8080/;
        location / { proxy_pass http://127.0.0.1:5000; }
    }
}
"""
"""Every kind of listener, backend and certificate, and routes that cannot be reached."""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Lay files out below a folder, ``FOLDER`` in them being its name; the main one."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("FOLDER", str(folder)))
    return folder / "nginx.conf"


def read(main: Path) -> Config:
    return Config(DiskFiles(()), str(main), inside=str(main.parent))


def tried(main: Path, binary: NginxBinary, **wishes: float) -> Report:
    return try_configuration(read(main), binary, Wishes(**wishes))  # type: ignore[arg-type]
