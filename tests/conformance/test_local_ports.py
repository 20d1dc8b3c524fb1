"""Which ports `make up` takes."""

import subprocess
import sys

from app.local import ports
from app.local.procfile import CHECKOUT

ASK = "import sys; from app.local.ports import free_port; print(free_port(int(sys.argv[1])), flush=True); input()"


def ask_elsewhere(wanted: int) -> int:
    """What another process is given."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(wanted)], input="\n", cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_a_wanted_port_is_given_to_one_process_only_while_that_lives() -> None:
    wanted = ports.free_port()
    with subprocess.Popen(
        [sys.executable, "-c", ASK, str(wanted)], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert int(first.stdout.readline()) == wanted
        assert ask_elsewhere(wanted) != wanted
        first.communicate("\n")
    assert ask_elsewhere(wanted) == wanted


def test_the_same_process_may_ask_again() -> None:
    wanted = ports.free_port()
    assert ports.free_port(wanted) == wanted
    assert ports.free_port(wanted) == wanted
