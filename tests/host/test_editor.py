from __future__ import annotations

from pathlib import Path

import pytest

from ws101.errors import InputError
from ws101.host.editor import Buffers, config_around, real_name

MAIN = "events {} http { include sites-enabled/*; }"
SITE = "server { listen 80; location /ws { proxy_pass http://127.0.0.1:3000; } }"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("sites-available", "sites-enabled"):
        (tmp_path / name).mkdir()
    (tmp_path / "nginx.conf").write_text(MAIN)
    (tmp_path / "sites-available" / "a.conf").write_text(SITE)
    (tmp_path / "sites-available" / "off.conf").write_text(SITE)
    (tmp_path / "sites-enabled" / "a.conf").symlink_to("../sites-available/a.conf")
    return tmp_path


def test_a_site_belongs_to_the_main_file_that_loads_it_through_a_link(folder: Path) -> None:
    config, name = config_around(str(folder / "sites-available" / "a.conf"), Buffers({}))
    assert config.path == str(folder / "nginx.conf")
    assert name == str(folder / "sites-enabled" / "a.conf")


def test_a_site_that_is_not_loaded_is_read_alone(folder: Path) -> None:
    path = str(folder / "sites-available" / "off.conf")
    config, name = config_around(path, Buffers({}))
    assert (config.path, name) == (path, path)
    assert len(config.servers) == 1


def test_unsaved_text_counts_under_every_name_of_a_file(folder: Path) -> None:
    real = real_name(str(folder / "sites-available" / "a.conf"))
    buffers = Buffers({real: b"server { listen 81; }"})
    config, name = config_around(str(folder / "sites-enabled" / "a.conf"), buffers)
    assert config.sources[name].text == "server { listen 81; }"
    assert buffers.read(str(folder / "nginx.conf")) == MAIN.encode()


def test_a_file_that_was_never_saved_is_read_from_the_editor(tmp_path: Path) -> None:
    path = str(tmp_path / "new.conf")
    config, name = config_around(path, Buffers({real_name(path): SITE.encode()}))
    assert config.sources[name].text == SITE
    with pytest.raises(InputError):
        config_around(str(tmp_path / "missing.conf"), Buffers({}))


def test_a_main_file_that_cannot_be_read_is_passed_over(folder: Path) -> None:
    (folder / "sites-available" / "nginx.conf").symlink_to("nowhere")
    config, _ = config_around(str(folder / "sites-available" / "a.conf"), Buffers({}))
    assert config.path == str(folder / "nginx.conf")
