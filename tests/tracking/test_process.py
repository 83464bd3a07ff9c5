from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from basinet.tracking import process
from basinet.tracking.process import HOST, PID, STARTED, Presence, presence, process_tags

TELL = "from basinet.tracking.process import process_tags; print(process_tags(), flush=True); input()"


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Another process that waits, and the tags it would write."""
    child = subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    tags: dict[str, str] = eval(child.stdout.readline())
    yield child, tags
    child.kill()
    child.communicate()


def test_a_process_says_where_it_is_and_which_one() -> None:
    tags = process_tags()
    assert (tags[HOST], tags[PID]) == (socket.gethostname(), str(os.getpid()))
    assert presence(tags) is Presence.ALIVE


def test_another_process_is_alive_until_it_is_killed(other: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    child, tags = other
    assert tags[PID] == str(child.pid)
    assert presence(tags) is Presence.ALIVE
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but nobody has asked for its exit code yet
    assert presence(tags) is Presence.GONE
    child.wait()
    assert presence(tags) is Presence.GONE


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({PID: "1"}, Presence.GONE),  # a number that another process has by now
        ({HOST: "elsewhere"}, Presence.ELSEWHERE),
        ({PID: "many"}, Presence.UNKNOWN),
        ({PID: str(10**30)}, Presence.GONE),
    ],
)
def test_what_is_said_of_other_processes(change: dict[str, str], expected: Presence) -> None:
    assert presence({**process_tags(), **change}) is expected


def test_nothing_is_known_of_a_run_without_the_tags() -> None:
    assert presence({}) is Presence.UNKNOWN


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="no containers here")
def test_of_another_container_on_this_machine_nothing_is_known_and_a_restart_ends_everything() -> None:
    tags = process_tags()
    boot, _, tick = tags[STARTED].split()
    assert presence({**tags, STARTED: f"{boot} pid:[1] {tick}"}) is Presence.ELSEWHERE
    assert presence({**tags, STARTED: f"00000000-0000 pid:[1] {tick}"}) is Presence.GONE


def test_a_process_that_the_system_does_not_show_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object) -> None:
        raise PermissionError

    tags = {**process_tags(), PID: "2147483646"}
    assert presence(tags) is Presence.GONE
    monkeypatch.setattr("os.kill", forbidden)
    assert presence(tags) is Presence.UNKNOWN


def test_without_a_proc_folder_the_system_is_asked_by_its_ps(
    other: tuple[subprocess.Popen[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child, tags = other
    monkeypatch.setattr(process, "_PROC", tmp_path)
    started = process_tags()
    assert presence(started) is Presence.ALIVE
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(child.pid)], capture_output=True, text=True, check=True)
    theirs = {**tags, STARTED: "-".join(answer.stdout.split())}
    assert presence(theirs) is Presence.ALIVE
    child.kill()
    child.communicate()
    assert presence(theirs) is Presence.GONE


def test_every_run_says_which_process_wrote_it(write: Callable[..., Any]) -> None:
    run = write({"init": "normal"}, [1.0])
    tags = run.store.client.get_run(run.id).data.tags
    assert {HOST: tags[HOST], PID: tags[PID], STARTED: tags[STARTED]} == process_tags()
