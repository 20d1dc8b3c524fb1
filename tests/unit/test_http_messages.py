from app import http_messages
from app.http_messages import Headers

HEAD = [b"HTTP/1.1 200 OK\r\n", b"Content-Type: application/json\r\n", b"X-Empty:\r\n", b"no header\r\n", b"\r\n"]


def items(lines: list[bytes]) -> list[tuple[str, str]]:
    headers = Headers.of_lines(lines)
    assert headers is not None
    return [*headers]


def test_a_head_reads_alike_the_first_time_and_later() -> None:
    wanted = [("content-type", "application/json"), ("x-empty", "")]
    assert [items(HEAD), items(HEAD)] == [wanted, wanted]


def test_a_vendor_whose_lines_differ_takes_no_memory() -> None:
    for number in range(2_000):
        assert items([*HEAD[:1], b"X-Request-Id: %d\r\n" % number, *HEAD[-1:]]) == [("x-request-id", str(number))]
        assert len(http_messages._KNOWN_LINES) <= 512


def test_a_long_line_is_read_and_not_kept() -> None:
    line = b"X-Long: " + b"x" * 10_000 + b"\r\n"
    assert items([*HEAD[:1], line, *HEAD[-1:]]) == [("x-long", "x" * 10_000)]
    assert line not in http_messages._KNOWN_LINES
