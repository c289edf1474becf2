"""Resource names, such as `tasks/{task}`: how they are written and read. The only place that knows.

Every part is also a token of a bus subject, so none can hold a dot, a blank or a wildcard.
"""

from __future__ import annotations

import re

_TASK = re.compile(r"tasks/([a-z][a-z0-9-]{0,62})")
_TASK_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
_NODE = re.compile(r"nodes/([a-z0-9][a-z0-9-]{0,62})")
_NODE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ARTIFACT = re.compile(r"tasks/([a-z][a-z0-9-]{0,62})/artifacts/([0-9]{1,6}|[0-9a-f]{64})")
_GROUP = re.compile(r"groups/([a-z][a-z0-9-]{0,62})")
_ALERT = re.compile(r"alerts/([0-9a-f]{16})")
_SILENCE = re.compile(r"silences/([0-9a-f]{12})")
_WEBHOOK_DELIVERY = re.compile(r"webhookDeliveries/([0-9a-f-]{36})")
_TENANT = re.compile(r"tenants/([a-z][a-z0-9-]{0,62})")
_TENANT_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
_KEY = re.compile(r"tenants/([a-z][a-z0-9-]{0,62})/keys/([a-z][a-z0-9-]{0,62})")
_WORKFLOW = re.compile(r"workflows/([a-z][a-z0-9-]{0,62})")
_WORKFLOW_VERSION = re.compile(r"workflows/([a-z][a-z0-9-]{0,62})/versions/([1-9][0-9]{0,9})")
_ASSET = re.compile(r"assets/([0-9a-f]{64})")
_UPLOAD = re.compile(r"uploads/([0-9a-f]{64})")


class MalformedNameError(ValueError):
    """The text is not a resource name of the kind that was asked for."""

    def __init__(self, text: str, pattern: str) -> None:
        self.text = text
        self.pattern = pattern
        super().__init__(f"{text[:128]!r} is not of the form {pattern}")


def task(task_id: str) -> str:
    """The name of a task."""
    return f"tasks/{task_id}"


def node(node_id: str) -> str:
    """The name of a node."""
    return f"nodes/{node_id}"


def pool(node_name: str, pool_id: str) -> str:
    """The name of a pool of a node that has this name."""
    return f"{node_name}/pools/{pool_id}"


def group(group_id: str) -> str:
    """The name of a group of tasks."""
    return f"groups/{group_id}"


def artifact(task_id: str, artifact_id: str) -> str:
    """The name of an artifact. Its id is a number, or the SHA-256 of its bytes."""
    return f"tasks/{task_id}/artifacts/{artifact_id}"


def asset(sha256: str) -> str:
    """The name of an asset, which its content gives."""
    return f"assets/{sha256}"


def upload(sha256: str) -> str:
    """The name of an upload under way, which its content gives."""
    return f"uploads/{sha256}"


def tenant(tenant_id: str) -> str:
    """The name of a tenant."""
    return f"tenants/{tenant_id}"


def key(tenant_id: str, key_id: str) -> str:
    """The name of an API key."""
    return f"tenants/{tenant_id}/keys/{key_id}"


def workflow(workflow_id: str) -> str:
    """The name of a workflow."""
    return f"workflows/{workflow_id}"


def workflow_version(workflow_id: str, number: int) -> str:
    """The name of a version of a workflow."""
    return f"workflows/{workflow_id}/versions/{number}"


def parse_task(name: str) -> str:
    """The task id in `name`, or MalformedNameError."""
    return _parse(_TASK, name, "tasks/{task}")[0]


def parse_node(name: str) -> str:
    """The node id in `name`, or MalformedNameError."""
    return _parse(_NODE, name, "nodes/{node}")[0]


def parse_group(name: str) -> str:
    """The group id in `name`, or MalformedNameError."""
    return _parse(_GROUP, name, "groups/{group}")[0]


def parse_artifact(name: str) -> tuple[str, str]:
    """The task id and artifact id in `name`, or MalformedNameError."""
    task_id, artifact_id = _parse(_ARTIFACT, name, "tasks/{task}/artifacts/{artifact}")
    return task_id, artifact_id


def parse_alert(name: str) -> str:
    """The alert id in `name`, or MalformedNameError."""
    return _parse(_ALERT, name, "alerts/{alert}")[0]


def parse_silence(name: str) -> str:
    """The silence id in `name`, or MalformedNameError."""
    return _parse(_SILENCE, name, "silences/{silence}")[0]


def parse_webhook_delivery(name: str) -> str:
    """The delivery id in `name`, or MalformedNameError."""
    return _parse(_WEBHOOK_DELIVERY, name, "webhookDeliveries/{delivery}")[0]


def parse_asset(name: str) -> str:
    """The SHA-256 in `name`, or MalformedNameError."""
    return _parse(_ASSET, name, "assets/{sha256}")[0]


def parse_workflow(name: str) -> str:
    """The workflow id in `name`, or MalformedNameError."""
    return _parse(_WORKFLOW, name, "workflows/{workflow}")[0]


def parse_workflow_version(name: str) -> tuple[str, int]:
    """The workflow id and the version's number in `name`, or MalformedNameError."""
    workflow_id, number = _parse(_WORKFLOW_VERSION, name, "workflows/{workflow}/versions/{number}")
    return workflow_id, int(number)


def parse_runnable(name: str) -> tuple[str, int]:
    """What `parse_workflow_version` answers; 0 as the number where `name` is a workflow's. Or MalformedNameError."""
    return parse_workflow_version(name) if name.count("/") > 1 else (parse_workflow(name), 0)


def parse_upload(name: str) -> str:
    """The SHA-256 in `name`, or MalformedNameError."""
    return _parse(_UPLOAD, name, "uploads/{sha256}")[0]


def parse_tenant(name: str) -> str:
    """The tenant id in `name`, or MalformedNameError."""
    return _parse(_TENANT, name, "tenants/{tenant}")[0]


def parse_key(name: str) -> tuple[str, str]:
    """The tenant id and key id in `name`, or MalformedNameError."""
    tenant_id, key_id = _parse(_KEY, name, "tenants/{tenant}/keys/{key}")
    return tenant_id, key_id


def is_tenant_id(text: str) -> bool:
    """Whether `text` can be the last part of a tenant's name."""
    return _TENANT_ID.fullmatch(text) is not None


def is_workflow_id(text: str) -> bool:
    """Whether `text` can be the last part of a workflow's name."""
    return is_task_id(text)


def is_task_id(text: str) -> bool:
    """Whether `text` can be the last part of a task's name."""
    return _TASK_ID.fullmatch(text) is not None


def is_node_id(text: str) -> bool:
    """Whether `text` can be the last part of a node's name."""
    return _NODE_ID.fullmatch(text) is not None


def _parse(pattern: re.Pattern[str], name: str, form: str) -> tuple[str, ...]:
    match = pattern.fullmatch(name)
    if match is None:
        raise MalformedNameError(name, form)
    return match.groups()
