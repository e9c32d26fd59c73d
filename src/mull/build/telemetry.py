"""Where spans go, if anywhere: `[telemetry]` in `mull.toml`, or OpenTelemetry's own variables."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mull.core.errors import BadInputError

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SPANS: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_PATH: Final = "/v1/traces"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Which collector spans are sent to. Variables win over the file, as with every other tool."""

    endpoint: str | None = None
    """`http://HOST:4318`; None: nowhere."""
    service: str = "mull"
    """What the collector calls this server."""

    def asked_for(self, environment: Mapping[str, str]) -> "Telemetry | None":
        """The whole address, if spans are asked for; `BadInputError` for what is none."""
        if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return None
        given = environment.get(ENDPOINT) or self.endpoint
        endpoint = environment.get(_SPANS) or (given and _with_path(given))
        if not endpoint:
            return None
        protocol = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        if protocol != "http/protobuf":
            raise BadInputError(
                f"spans cannot be sent as `{protocol}`",
                hint="set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, and a collector's port for "
                "it (4318)",
            )
        if not endpoint.startswith(("http://", "https://")):
            raise BadInputError(
                f"`{endpoint}` is no address of a collector", hint="write `http://HOST:4318`"
            )
        service = environment.get("OTEL_SERVICE_NAME") or self.service
        return replace(self, endpoint=endpoint, service=service)


def _with_path(endpoint: str) -> str:
    base = endpoint.rstrip("/")
    return base if base.endswith(_PATH) else base + _PATH
