from __future__ import annotations

import os
from pathlib import Path

import pytest

from ws101.errors import NginxError
from ws101.host import binary as module
from ws101.host.binary import NginxBinary, all_nginx, find_nginx, read_binary


def program(path: Path, output: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{output}\nEND\nexit {code}\n")
    path.chmod(0o755)
    return path


def nginx(path: Path, number: str) -> Path:
    return program(path, f"nginx version: nginx/{number}\nconfigure arguments: --with-compat")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any nginx."""
    monkeypatch.setattr(module, "FOLDERS", (str(tmp_path / "sbin"),))
    monkeypatch.setattr(module, "_of_wheel", lambda: iter(()))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    monkeypatch.delenv("WS101_NGINX", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(binary: NginxBinary | None) -> str | None:
    return None if binary is None else binary.path


def test_a_real_binary_tells_its_version_and_modules(binary: NginxBinary) -> None:
    assert Path(binary.path).is_absolute()
    assert f"nginx/{binary.build.number}" in binary.version_text
    assert binary.build.source == "binary"
    assert binary.build.has_module("http_proxy") is True


def test_without_any_nginx_nothing_is_found(alone: Path) -> None:
    assert find_nginx() is None
    assert all_nginx() == ()


def test_path_comes_before_the_usual_folders_and_those_before_the_wheel(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = nginx(alone / "wheel/nginx", "1.3.0")
    monkeypatch.setattr(module, "_of_wheel", lambda: iter([str(wheel)]))
    assert found(find_nginx()) == str(wheel)
    sbin = nginx(alone / "sbin/nginx", "1.2.0")
    assert found(find_nginx()) == str(sbin)
    on_path = nginx(alone / "bin/nginx", "1.1.0")
    assert found(find_nginx()) == str(on_path)
    assert [b.path for b in all_nginx()] == [str(on_path), str(sbin), str(wheel)]


def test_one_that_is_named_is_the_only_one_tried(alone: Path) -> None:
    nginx(alone / "sbin/nginx", "1.2.0")
    named = nginx(alone / "mine", "1.4.0")
    assert found(find_nginx(str(named))) == str(named)
    with pytest.raises(NginxError, match="cannot run nginx -V"):
        find_nginx(str(alone / "nothing"))


def test_a_program_that_is_not_nginx_is_refused_when_named_and_passed_over_when_found(alone: Path) -> None:
    other = program(alone / "bin/nginx", "GNU hello 1.0")
    with pytest.raises(NginxError, match="not nginx") as caught:
        read_binary(str(other))
    assert caught.value.where == str(other)
    behind = nginx(alone / "sbin/nginx", "1.2.0")
    assert found(find_nginx()) == str(behind)


def test_a_program_that_never_answers_is_given_up(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VERSION_TIMEOUT", 0.1)
    hanging = alone / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    with pytest.raises(NginxError, match="timed out"):
        read_binary(str(hanging))


def test_the_environment_and_the_cache_add_builds_and_equal_ones_count_once(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = nginx(alone / "one/nginx", "1.5.0"), nginx(alone / "two/nginx", "1.6.0")
    nginx(alone / "sbin/nginx", "1.6.0")
    cached = nginx(alone / ".cache/nginx-1.7.0/nginx", "1.7.0")
    monkeypatch.setenv("WS101_NGINX", os.pathsep.join(map(str, (first, second))))
    assert [b.path for b in all_nginx()] == [str(first), str(second), str(cached)]


def test_the_wheels_own_binary_is_found_and_runs() -> None:
    (path,) = module._of_wheel()
    assert read_binary(path).build.number == "1.31.3"
