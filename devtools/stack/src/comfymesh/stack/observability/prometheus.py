"""A Prometheus of one's own that reads a mesh on this machine, with the rules of deploy/."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from comfymesh.stack.mesh import free_port
from comfymesh.stack.observability.making import rules
from comfymesh.stack.processes import Processes, Program

_JOB = "comfymesh"


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and its points as (seconds since the epoch, value)."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """Its last value."""
        return self.points[-1][1]


class PrometheusError(Exception):
    """What was asked is refused, or Prometheus is still starting; the message is its own."""


class Prometheus:
    """Asks a Prometheus.

    Args:
        url: Where it is.
        session: By which it is asked.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def query(self, expression: str) -> list[Series]:
        """What an expression comes to now; a scalar is a series without labels.

        Raises:
            PrometheusError: it is not valid.
        """
        data = await self._ask("query", query=expression)
        if data["resultType"] == "scalar":
            return [Series({}, (_point(data["result"]),))]
        return [Series(found["metric"], (_point(found["value"]),)) for found in data["result"]]

    async def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """What an expression came to between two moments, every `step` seconds."""
        data = await self._ask("query_range", query=expression, start=start, end=end, step=step)
        return [Series(found["metric"], tuple(map(_point, found["values"]))) for found in data["result"]]

    async def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """Exemplars of the series of an expression between two moments, as Prometheus tells them."""
        told = await self._ask("query_exemplars", query=expression, start=start, end=end)
        return [exemplar for found in told for exemplar in found["exemplars"]]

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health and when it was evaluated last."""
        return [rule for group in (await self._ask("rules"))["groups"] for rule in group["rules"]]

    async def targets(self) -> list[dict[str, Any]]:
        """Everything that it reads, with its health."""
        found: list[dict[str, Any]] = (await self._ask("targets"))["activeTargets"]
        return found

    async def reads(self, count: int) -> bool:
        """Whether it is up, and has read each of its `count` targets."""
        try:
            targets = await self.targets()
        except (OSError, PrometheusError):
            return False
        return len(targets) == count and all(target["health"] == "up" for target in targets)

    async def _ask(self, what: str, **parameters: object) -> Any:  # noqa: ANN401  # JSON
        async with self._session.get(
            f"{self.url}/api/v1/{what}", params={k: str(v) for k, v in parameters.items()}
        ) as it:
            if it.content_type != "application/json":
                raise PrometheusError(f"{what}: {it.status} {(await it.text()).strip()}")
            answer = await it.json()
        if answer["status"] != "success":
            raise PrometheusError(f"{parameters.get('query', what)}: {answer['error']}")
        return answer["data"]


def installed() -> bool:
    """Whether there is a Prometheus on this machine (Debian's package `prometheus`)."""
    return shutil.which("prometheus") is not None


@asynccontextmanager
async def running(
    directory: Path, targets: Iterable[str], *, seconds: int = 1, docs_url: str = ""
) -> AsyncIterator[Prometheus]:
    """Run one that reads `targets`, and evaluates all rules, every so many seconds; runbooks are below `docs_url`."""
    configuration, place = (
        _configured(directory, _configuration(list(targets), seconds, docs_url)),
        f"127.0.0.1:{free_port()}",
    )
    command = (
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={place}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    )
    async with (
        Processes([Program("prometheus", command)], directory),
        aiohttp.ClientSession() as session,
    ):
        yield Prometheus(f"http://{place}", session)


def _configured(directory: Path, configuration: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "rules.yml").write_text(rules())
    path = directory / "prometheus.yml"
    path.write_text(json.dumps(configuration))  # JSON is YAML
    return path


def _configuration(targets: list[str], seconds: int, docs_url: str) -> dict[str, Any]:
    return {
        "global": {
            "scrape_interval": f"{seconds}s",
            "scrape_timeout": f"{seconds}s",
            "evaluation_interval": f"{seconds}s",
            "external_labels": {"docs_url": docs_url} if docs_url else {},
        },
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": _JOB, "static_configs": [{"targets": targets}]}],
    }


def _point(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
