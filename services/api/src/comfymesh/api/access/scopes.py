"""What each method takes: the one table. A method that is not in it can't be called."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a caller may do. Values match `comfymesh.v1.Key.Scope`. None includes another."""

    SUBMIT = "SUBMIT"
    READ = "READ"
    OPERATE = "OPERATE"
    ADMIN = "ADMIN"


ALL = frozenset(Scope)

SCOPES = {
    f"comfymesh.v1.{service}/{method}": scope
    for service, methods in {
        "TaskService": {
            "CreateTask": Scope.SUBMIT,
            "BatchCreateTasks": Scope.SUBMIT,
            "RunTask": Scope.SUBMIT,
            "CancelTask": Scope.SUBMIT,
            "GetTask": Scope.READ,
            "GetTaskGraph": Scope.READ,
            "ListTasks": Scope.READ,
            "WatchTask": Scope.READ,
            "WatchTasks": Scope.READ,
        },
        "GroupService": {"GetGroup": Scope.READ, "WatchGroup": Scope.READ, "CancelGroup": Scope.SUBMIT},
        "DeadLetterService": {
            "ListDeadLetters": Scope.READ,
            "GetDeadLetter": Scope.READ,
            "RequeueDeadLetters": Scope.SUBMIT,
            "DropDeadLetters": Scope.SUBMIT,
        },
        "WorkflowService": {
            "CreateWorkflow": Scope.SUBMIT,
            "GetWorkflow": Scope.READ,
            "ListWorkflows": Scope.READ,
            "UpdateWorkflow": Scope.SUBMIT,
            "DeleteWorkflow": Scope.SUBMIT,
            "GetWorkflowVersion": Scope.READ,
            "ListWorkflowVersions": Scope.READ,
            "DeleteWorkflowVersion": Scope.SUBMIT,
            "DeriveInputs": Scope.READ,
            "ValidateWorkflow": Scope.READ,
        },
        "AssetService": {
            "BeginUpload": Scope.SUBMIT,
            "UploadAsset": Scope.SUBMIT,
            "AbortUpload": Scope.SUBMIT,
            "DeleteAsset": Scope.SUBMIT,
            "GetAsset": Scope.READ,
            "ListAssets": Scope.READ,
            "ReadAsset": Scope.READ,
            "ReadArtifact": Scope.READ,
            "CreateDownloadUrl": Scope.READ,
        },
        "FleetService": {
            "GetNode": Scope.READ,
            "ListNodes": Scope.READ,
            "ListPools": Scope.READ,
            "WatchFleet": Scope.READ,
            "ListModels": Scope.READ,
            "ReadCatalog": Scope.READ,
            "CordonNode": Scope.OPERATE,
            "UncordonNode": Scope.OPERATE,
            "DrainNode": Scope.OPERATE,
            "PreloadModels": Scope.OPERATE,
        },
        "SchedulingService": {"GetPolicy": Scope.OPERATE, "UpdatePolicy": Scope.OPERATE, "GetQueue": Scope.OPERATE},
        # Alerts tell of the tasks of all tenants: for operators only. Webhooks are each tenant's own.
        "AlertService": {
            "ListAlertRules": Scope.OPERATE,
            "ListAlerts": Scope.OPERATE,
            "ListAlertNotices": Scope.OPERATE,
            "AcknowledgeAlert": Scope.OPERATE,
            "CreateSilence": Scope.OPERATE,
            "ListSilences": Scope.OPERATE,
            "DeleteSilence": Scope.OPERATE,
            "TestAlertChannel": Scope.OPERATE,
            "ListWebhookDeliveries": Scope.READ,
            "RedeliverWebhook": Scope.SUBMIT,
        },
        "TenantService": {
            "CreateTenant": Scope.ADMIN,
            "GetTenant": Scope.READ,
            "ListTenants": Scope.ADMIN,
            "UpdateTenant": Scope.ADMIN,
            "ListAuditEvents": Scope.ADMIN,
        },
        "UsageService": {"QueryUsage": Scope.READ},
        "KeyService": {
            "CreateKey": Scope.ADMIN,
            "GetKey": Scope.ADMIN,
            "ListKeys": Scope.ADMIN,
            "RotateKey": Scope.ADMIN,
            "RevokeKey": Scope.ADMIN,
        },
    }.items()
    for method, scope in methods.items()
}
"""The scope that each method takes."""

_LOOKS = ("Get", "List", "Watch", "Query", "Derive", "Validate")
_RELIED_ON = "comfymesh.v1.WorkflowService/"


def is_audited(method: str) -> bool:
    """Whether calls of a method are written to the audit log: those that change what others rely on.

    That is what operators and administrators do, and changes of workflows, which whole tenants run by their names.
    """
    changes = not method.rpartition("/")[2].startswith(_LOOKS)
    return changes and (SCOPES[method] in {Scope.OPERATE, Scope.ADMIN} or method.startswith(_RELIED_ON))
