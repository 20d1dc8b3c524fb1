"""The vendor: nginx over pages made beforehand, never the bottleneck.

The distribution's packages are unpacked below our own folder: nothing is installed, no service is started.

/plain/COUNT/cursor/records?after=TOKEN&limit=SIZE    /plain/COUNT/page/records?page=N&per_page=SIZE
/gzip/…      the same, packed for whoever asks for gzip
/packed/COUNT/cursor/records?after=TOKEN&limit=SIZE    kept packed and sent plain, whatever is asked for
/ranges100/COUNT/cursor/records?updated_from=DATE&after=TOKEN&limit=SIZE    one window of dates, after 100 ms
/write50/people    takes a record with POST, after 50 ms, and logs it        /write/people    at once, unlogged
/slow50/…    the same after 50 ms        /slow200/…    after 200 ms        /logged/…    with the time of each call
"""

import os
import re
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from app.local import kept, ports
from app.local.errors import LocalError
from tests.benchmarks.records import Pages
from tests.fixtures.processes import answers
from tests.fixtures.waiting import wait_until

_PACKAGES = ("nginx", "libnginx-mod-http-echo")
_HINT = "the benchmark's vendor is Debian's nginx: run `apt-get update` as root once (or install nginx-light)"
_ECHO = "usr/lib/nginx/modules/ngx_http_echo_module.so"

_CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log stderr error; {user}
worker_processes 1;
load_module {echo};
events {{ worker_connections 4096; }}
http {{
  access_log off; log_format calls '$msec $uri'; log_format bodies escape=json '$request_body';
  default_type application/json;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  sendfile on; tcp_nopush on; keepalive_timeout 3600s; keepalive_requests 1000000000;
  open_file_cache max=40000 inactive=1h; open_file_cache_valid 1h; open_file_cache_errors on;
  map $arg_after $token {{ default $arg_after; "" p1; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; root {pages};
    location = /calls {{ stub_status; }}
    location ~ ^/plain/(?<set>[0-9]+)/cursor/records$ {{ {cursor} }}
    location ~ ^/plain/(?<set>[0-9]+)/page/records$ {{ {numbered} }}
    location ~ ^/gzip/(?<set>[0-9]+)/cursor/records$ {{ gzip_static on; {cursor} }}
    location ~ ^/packed/(?<set>[0-9]+)/cursor/records$ {{ {packed} }}
    location ~ ^/logged/(?<set>[0-9]+)/cursor/records$ {{ access_log {folder}/calls.log calls; {cursor} }}
    location ~ ^/windows/(?<set>[0-9]+)/cursor/records$ {{ {window} }}
    location ~ ^/ranges100(?<rest>/.+)$ {{ echo_sleep 0.1; echo_exec /windows$rest $args; }}
    location = /write50/people {{ access_log {folder}/bodies.log bodies; echo_read_request_body; echo_sleep 0.05;
      echo_status 201; echo '{{"id":"v"}}'; }}
    location = /write/people {{ client_max_body_size 0; echo_read_request_body; echo_status 201;
      echo '{{"id":"v"}}'; }}
    location ~ ^/slow50(?<rest>/.+)$ {{ echo_sleep 0.05; echo_exec /plain$rest $args; }}
    location ~ ^/slow200(?<rest>/.+)$ {{ echo_sleep 0.2; echo_exec /plain$rest $args; }}
  }}
}}
"""
_CURSOR = "try_files /pages/$arg_limit/$set/$token.json /pages/$arg_limit/$token.json =404;"
_NUMBERED = "try_files /numbered/$arg_per_page/$set/$arg_page.json =404;"
_PACKED = 'gzip_static always; gunzip on; gzip_disable "."; rewrite ^ /packed/$arg_limit/$set/$token.json break;'
_WINDOW = "try_files /windows/$arg_limit/$set/$arg_updated_from/$token.json =404;"


class Vendor:
    """One nginx, and the pages that it serves. `folder` keeps programs and pages for the next run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pages = Pages(folder)
        self._port = ports.free_port()
        self._process: kept.KeptProcess | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        program, echo = _programs(self._folder / "nginx")
        self.pages.folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                folder=self._folder,
                user="user root;" if _is_root() else "",
                echo=echo,
                port=self._port,
                pages=self.pages.folder,
                cursor=_CURSOR,
                numbered=_NUMBERED,
                packed=_PACKED,
                window=_WINDOW,
            )
        )
        command = [str(program), "-p", str(self._folder), "-e", "stderr", "-c", str(config)]
        log = self._folder / "nginx.log"
        self._process = kept.start(kept.Launch(command, log, stop_signal=signal.SIGTERM))
        wait_until(lambda: answers(f"http://127.0.0.1:{self._port}/calls"), f"nginx to answer (see {log})", 10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.stop()

    def url(self, way: str, count: int) -> str:
        """Base URL of a set of `count` records; `way` is plain, gzip, packed, ranges100, slow50, slow200 or logged."""
        return f"http://127.0.0.1:{self._port}/{way}/{count}"

    def write_url(self, *, is_slow: bool) -> str:
        """Base URL of the place that takes records."""
        return f"http://127.0.0.1:{self._port}/{'write50' if is_slow else 'write'}"

    def take_bodies(self) -> list[str]:
        """The bodies that came to the slow place since the last call, in the order of their answers."""
        log = self._folder / "bodies.log"
        found = [line.replace('\\"', '"') for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        if self._process is not None:
            os.kill(self.pid, signal.SIGUSR1)  # nginx opens its logs anew
        return found

    def call_count(self) -> int:
        """Requests answered since the start, this one included."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/calls", timeout=5) as answer:
            numbers = re.findall(r"\d+", answer.read().decode())
        return int(numbers[3])

    def last_logged(self) -> list[float]:
        """Times of the calls below /logged, seconds since the epoch, in order."""
        log = self._folder / "calls.log"
        return [float(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []


def _is_root() -> bool:
    return os.geteuid() == 0


def _programs(folder: Path) -> tuple[Path, Path]:
    """nginx and its echo module, which waits without blocking: the system's, else unpacked below `folder`."""
    for root in (Path("/"), folder):
        if (root / _ECHO).exists() and (root / "usr/sbin/nginx").exists():
            return root / "usr/sbin/nginx", root / _ECHO
    _unpack(folder)
    return folder / "usr/sbin/nginx", folder / _ECHO


def _unpack(folder: Path) -> None:
    unfinished = folder.with_name("nginx.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    download = ["apt-get", "download", "-qq", *_PACKAGES]
    try:
        if _run(download, unfinished) and _is_root():  # no lists of packages yet
            _run(["apt-get", "update", "-qq"], unfinished)
            _run(download, unfinished)
        for package in unfinished.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(package), str(unfinished)], unfinished)
    except FileNotFoundError as error:
        raise LocalError(f"{_HINT} ({error.filename} is missing here)") from None
    if not (unfinished / _ECHO).exists():
        raise LocalError(_HINT)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _run(command: list[str], cwd: Path) -> int:
    return subprocess.run(command, cwd=cwd, capture_output=True, check=False).returncode
