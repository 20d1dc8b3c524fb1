"""The verification code of docs/callbacks.md, run as it stands there against what the product sends."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.callbacks.attempt import prepare
from app.domain.signing import SigningKey, format_key

PAGE = Path(__file__).parents[2] / "docs" / "callbacks.md"
PYTHON_MAIN = """
import json, sys
for line in sys.stdin:
    key, headers, body = json.loads(line)
    body = base64.b64decode(body)
    print(json.dumps([verify_elements(key, headers, body), verify_standard(key, headers, body)]))
"""
NODE_MAIN = """
for (const line of require("node:fs").readFileSync(0, "utf8").trim().split("\\n")) {
  const [key, headers, body] = JSON.parse(line);
  const raw = Buffer.from(body, "base64");
  console.log(JSON.stringify([verifyElements(key, headers, raw), verifyStandard(key, headers, raw)]));
}
"""
# Java reads no JSON by itself: a line is key, body and header pairs, separated by tabs.
JAVA_MAIN = """
public class Main {
  public static void main(String[] arguments) throws Exception {
    var in = new java.io.BufferedReader(new java.io.InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] parts = line.split("\\t");
      var headers = new java.util.HashMap<String, String>();
      for (int i = 2; i < parts.length; i += 2) headers.put(parts[i], parts[i + 1]);
      byte[] body = Base64.getDecoder().decode(parts[1]);
      System.out.println("[" + Callbacks.verifyElements(parts[0], headers, body)
          + "," + Callbacks.verifyStandard(parts[0], headers, body) + "]");
    }
  }
}
"""
RUBY_MAIN = """
require "json"
$stdin.each_line(chomp: true) do |line|
  key, headers, body = JSON.parse(line)
  raw = body.unpack1("m")
  puts JSON.generate([Callbacks.verify_elements(key, headers, raw), Callbacks.verify_standard(key, headers, raw)])
end
"""


@dataclass(frozen=True)
class Received:
    key: str
    headers: dict[str, str]
    body: bytes

    def without(self, name: str) -> "Received":
        return replace(self, headers={key: value for key, value in self.headers.items() if key != name})

    def with_header(self, name: str, value: str) -> "Received":
        return replace(self, headers={**self.headers, name: value})

    def as_json(self) -> str:
        return json.dumps([self.key, self.headers, base64.b64encode(self.body).decode()])

    def as_tabs(self) -> str:
        pairs = [text for pair in self.headers.items() for text in pair]
        return "\t".join([self.key, base64.b64encode(self.body).decode(), *pairs])


Verdicts = list[list[bool]]
Verifier = Callable[[list[Received], Path], Verdicts]


def received(key: str, *, age: timedelta = timedelta(), also: str | None = None) -> Received:
    body = '{"id":"41","name":"Zoë \u2028","amount":1.10}\n'.encode()
    keys = [SigningKey.parse(text) for text in (key, also) if text]
    sent_at = datetime.now(UTC) - age
    request = prepare(
        event_id="msg_41_1", url="https://example.com/", body=body, keys=keys, sent_at=sent_at, timeout_s=1.0
    )
    return Received(key, {name.lower(): value for name, value in request.headers}, body)


def snippet(language: str) -> str:
    blocks: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks, f"no {language} code on the page"
    return "\n".join(blocks)


def run(command: list[str], text: str) -> Verdicts:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_python(calls: list[Received], folder: Path) -> Verdicts:
    (folder / "verify.py").write_text(snippet("python") + PYTHON_MAIN, encoding="utf-8")
    return run([sys.executable, str(folder / "verify.py")], "\n".join(call.as_json() for call in calls))


def by_node(calls: list[Received], folder: Path) -> Verdicts:
    (folder / "verify.cjs").write_text(snippet("js") + NODE_MAIN, encoding="utf-8")
    return run(["node", str(folder / "verify.cjs")], "\n".join(call.as_json() for call in calls))


def by_java(calls: list[Received], folder: Path) -> Verdicts:
    imports, _, rest = snippet("java").partition("final class")
    (folder / "Main.java").write_text(imports + JAVA_MAIN + "final class" + rest, encoding="utf-8")
    return run(
        ["java", "-Dfile.encoding=UTF-8", str(folder / "Main.java")], "\n".join(call.as_tabs() for call in calls)
    )


def by_ruby(calls: list[Received], folder: Path) -> Verdicts:
    (folder / "verify.rb").write_text(snippet("ruby") + RUBY_MAIN, encoding="utf-8")
    return run(["ruby", "-Ku", str(folder / "verify.rb")], "\n".join(call.as_json() for call in calls))


def where_there_is(program: str, verify: Verifier) -> Any:
    """Python is always there; the others are tried where the machine has them, and say so where it has not."""
    reason = f"{program} is not installed on this machine"
    return pytest.param(verify, id=verify.__name__, marks=pytest.mark.skipif(not shutil.which(program), reason=reason))


VERIFIERS = [
    pytest.param(by_python, id="by_python"),
    where_there_is("node", by_node),
    where_there_is("javac", by_java),
    where_there_is("ruby", by_ruby),
]


@pytest.mark.parametrize("verify", VERIFIERS)
def test_the_documented_code_tells_genuine_from_forged(verify: Verifier, tmp_path: Path) -> None:
    standard, plain, old = format_key(b"s" * 32), "a plain key, Zoë's", format_key(b"o" * 24)
    genuine = received(standard)
    cases: list[tuple[Received, list[bool]]] = [
        (genuine, [True, True]),
        (received(plain), [True, True]),
        (replace(received(standard, also=old), key=old), [True, True]),  # while a key rotates: who knows the old one
        (received(standard, also=old), [False, True]),  # and who knows the new one
        (replace(received(standard, also=old), key=plain), [False, False]),
        (replace(genuine, body=genuine.body + b" "), [False, False]),
        (replace(genuine, key=old), [False, False]),
        (received(standard, age=timedelta(minutes=6)), [True, False]),
        (genuine.with_header("webhook-id", "msg_41_2"), [True, False]),
        (genuine.with_header("webhook-timestamp", "soon"), [True, False]),
        (genuine.without("webhook-signature"), [True, False]),
        (genuine.without("elements-webhook-signature"), [False, True]),
    ]
    assert verify([call for call, _ in cases], tmp_path) == [expected for _, expected in cases]
