"""Every case under tests/cases, on every real nginx and in the model."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tools.fidelity.cases import FOLDER, MODEL_ONLY, answers, read_case, read_cases
from ws101.host.binary import NginxBinary

CASES = read_cases()


def test_nginx_and_the_model_do_what_the_cases_say(binary: NginxBinary) -> None:
    version = binary.build.number
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for answered in answers(binary, CASES, Path(folder)):
            where = f"{answered.case.path.name}: {answered.question.text.splitlines()[0]}"
            wanted = answered.question.wanted(version) or answered.model
            if answered.nginx != wanted:
                wrong.append(f"{where}\nexpected {wanted}\nnginx {version}: {answered.nginx}")
            if answered.model not in (wanted, "unknown"):
                wrong.append(f"{where}\nexpected {wanted}\nthe model of {version}: {answered.model}")
            for other, said in answered.others.items():
                if answered.question.wanted(other) not in (None, said):
                    wrong.append(f"{where}\nexpected {answered.question.wanted(other)}\nthe model of {other}: {said}")
    assert not wrong, "\n\n".join(wrong)


def test_the_model_leaves_open_only_what_hangs_on_a_hash_table_or_a_repair() -> None:
    undecided = {
        (case.path.stem, question.text.splitlines()[0])
        for case in CASES
        for question in case.questions
        if any(question.wanted(version) == "unknown" for version in MODEL_ONLY)
    }
    assert undecided == {
        ("underscores", "GET / HTTP/1.1"),
        ("captures_changed_by_a_map", "GET /set HTTP/1.1"),
        ("auth_request", "GET /captures HTTP/1.1"),
    }


def test_every_case_asks_something_and_expects_an_answer() -> None:
    for case in CASES:
        assert case.title.endswith("."), case.path
        assert case.questions, case.path
        for question in case.questions:
            assert question.expected, f"{case.path}: {question.text}"


def test_a_case_without_a_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.case"
    path.write_text("Nothing.\n\n--- ask\nGET / HTTP/1.1\n")
    with pytest.raises(ValueError, match="no configuration"):
        read_case(path)


def test_an_expectation_needs_a_request_before_it(tmp_path: Path) -> None:
    path = tmp_path / "x.case"
    path.write_text("Nothing.\n\n--- conf\nserver {}\n\n--- expect\nnginx answers 200\n")
    with pytest.raises(ValueError, match="before every request"):
        read_case(path)


def test_a_request_is_read_with_its_options_its_blanks_and_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.case"
    asked = "--- ask to __TLS__ tls sni a.test from 127.0.0.2\nPOST /a b HTTP/1.1\nX:  \\x09y \n\nbody"
    path.write_text(f"T.\n\n--- conf\nserver {{}}\n\n{asked}\n")
    (question,) = read_case(path).questions
    ask = question.ask
    assert (ask.to, ask.tls, ask.sni, ask.client) == ("__TLS__", True, "a.test", "127.0.0.2")
    assert ask.request.target == "/a b"
    assert ask.request.headers == (("X", " \ty "),)
    assert ask.request.body == "body"


def test_the_cases_lie_where_the_tests_are() -> None:
    assert Path(__file__).resolve().parents[1] / "cases" == FOLDER
