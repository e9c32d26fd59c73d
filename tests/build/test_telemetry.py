"""Where spans go: by the file or OpenTelemetry's variables, and refused where they cannot."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mull.build import MissingExtraError, read_config
from mull.build.telemetry import Telemetry
from mull.cli import app_for
from mull.core.errors import BadInputError

BASE, SPANS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
FILE = Telemetry("http://file:4318", "by file")


@pytest.mark.parametrize(
    ("file", "environment", "endpoint"),
    [
        (Telemetry(), {}, None),
        (Telemetry(), {BASE: ""}, None),
        (Telemetry(), {BASE: "http://c:4318"}, "http://c:4318/v1/traces"),
        (Telemetry(), {BASE: "http://c:4318/v1/traces/"}, "http://c:4318/v1/traces"),
        (Telemetry(), {BASE: "http://c:4318", SPANS: "https://d/any"}, "https://d/any"),
        (FILE, {}, "http://file:4318/v1/traces"),
        (FILE, {BASE: "http://c:4318"}, "http://c:4318/v1/traces"),
        (FILE, {"OTEL_SDK_DISABLED": "True"}, None),
    ],
)
def test_spans_go_where_the_file_or_the_environment_says(
    file: Telemetry, environment: Mapping[str, str], endpoint: str | None
) -> None:
    asked = file.asked_for(environment)
    assert (asked and asked.endpoint) == endpoint


def test_a_server_has_the_name_that_it_is_given() -> None:
    asked = FILE.asked_for({"OTEL_SERVICE_NAME": "by environment"})
    assert asked is not None
    assert asked.service == "by environment"
    asked = FILE.asked_for({})
    assert asked is not None
    assert asked.service == "by file"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({BASE: "c:4317"}, "`c:4317/v1/traces` is no address of a collector"),
        (
            {BASE: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "sent as `grpc`",
        ),
    ],
)
def test_what_cannot_be_sent_to_is_refused(environment: Mapping[str, str], message: str) -> None:
    with pytest.raises(BadInputError, match=message) as refused:
        Telemetry().asked_for(environment)
    assert "4318" in (refused.value.hint or "")


def test_spans_without_the_extra_are_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mull.toml"
    file.write_text('[telemetry]\nendpoint = "http://127.0.0.1:4318"\n')
    assert read_config(file).telemetry == Telemetry("http://127.0.0.1:4318")
    monkeypatch.delitem(sys.modules, "mull.server.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    arguments = ["--config", str(file), "serve", "--journal", str(tmp_path / "s.db")]
    refused = CliRunner().invoke(app_for(arguments), arguments).exception
    assert isinstance(refused, MissingExtraError)
    assert refused.hint == "pip install 'mull[otel]'"
    file.write_text('[telemetry]\nendpont = "http://127.0.0.1:4318"\n')
    with pytest.raises(BadInputError, match=r"\[telemetry\]: no key `endpont`"):
        read_config(file)
