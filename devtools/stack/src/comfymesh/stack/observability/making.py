"""Files for Grafana and Prometheus, made from the dashboards and rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from comfymesh.stack.observability.alerting import ALERTS, RECORDINGS
from comfymesh.stack.observability.dashboards import ALL
from comfymesh.stack.observability.model import RUNBOOKS, Alert, Dashboard, Look, Panel

_MADE = "# Made by `make docs` from devtools/stack/src/comfymesh/stack/observability. Change that.\n"
_DOCS = "{{ $externalLabels.docs_url }}"
"""Where the pages are, as prometheus.yml says; nothing where it does not."""
_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 7
_NUMBER_WIDTH, _NUMBER_HEIGHT = 6, 4
_VERSION = 39
"""Of Grafana's format: that of Grafana 11."""


def files() -> dict[str, str]:
    """Every file that is made, by its place below deploy/."""
    made = {f"grafana/dashboards/{dashboard.name}.json": _json(grafana(dashboard)) for dashboard in ALL}
    return {**made, "prometheus/rules.yml": _MADE + rules()}


def rules() -> str:
    """The rules, as Prometheus reads them."""
    recordings = [{"record": rule.name, "expr": rule.expression} for rule in RECORDINGS]
    groups = [
        {"name": "comfymesh-recordings", "rules": recordings},
        {"name": "comfymesh-alerts", "rules": [_alert(alert) for alert in ALERTS]},
    ]
    text: str = yaml.safe_dump({"groups": groups}, sort_keys=False, width=120)
    return text


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard in Grafana's own format."""
    return {
        "uid": dashboard.name,
        "title": dashboard.title,
        "tags": ["comfymesh"],
        "schemaVersion": _VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["comfymesh"], "title": "ComfyMesh", "asDropdown": True}],
        "templating": {"list": [_variable(name, query) for name, query in dashboard.variables]},
        "panels": list(_placed(dashboard.panels)),
    }


def _placed(panels: tuple[Panel, ...]) -> Iterator[dict[str, Any]]:
    """The panels from left to right: numbers first in a row of their own, if there are any in front."""
    x = y = 0
    height = 0
    for number, panel in enumerate(panels, 1):
        is_number = panel.look is Look.NUMBER
        width, own = (_NUMBER_WIDTH, _NUMBER_HEIGHT) if is_number else (_WIDTH, _HEIGHT)
        if x + width > _COLUMNS or (x and own != height):
            x, y = 0, y + height
        height = own
        yield _panel(panel, number, {"x": x, "y": y, "w": width, "h": own})
        x += width


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    if panel.look is Look.LINES:
        custom = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.stacked else {"fillOpacity": 0}
    return {
        "id": number,
        "title": panel.title,
        "description": panel.tells,
        "type": panel.look.value,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
                "exemplar": panel.exemplars,
                "format": "heatmap" if panel.look is Look.HEAT else "time_series",
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook_url": f"{_DOCS}{RUNBOOKS}#{alert.runbook}"},
    }


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def write(folder: Path) -> None:
    """Write every file below `folder`."""
    for place, text in files().items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    write(Path("deploy"))
