"""Every subject of the mesh: how it is written and read. The only place that knows.

task.<tenant>.<task_id>             the task log: one record a change           stream TASKS
spec.<tenant>.<task_id>.<digest>    a task's graph                              stream TASKS
work.<node>                         attempts handed to a node                   stream WORK
report.<node>                       a node's reports                            stream REPORTS
progress.<tenant>.<task_id>         latest progress of an attempt               stream PROGRESS
blob.<tenant>.<sha256>.<index>      pieces of artifacts, assets and catalogs    stream BLOBS
asset.<tenant>.<sha256>             what an asset is                            stream BLOBS
upload.<tenant>.<sha256>            an upload under way                         stream BLOBS
account.tenant.<tenant>             a tenant                                    stream ACCOUNTS
account.key.<tenant>.<key>          an API key, without its secret              stream ACCOUNTS
audit.<tenant>                      what operators and administrators did       stream AUDIT
lease.<role>                        who acts in a role of which there is one    stream LEASES
intent.<node>                       what operators want of a node               stream INTENTS
notice.<notice>                     what people were told                       stream ALERTS
delivered.<notice>.<channel>        what became of it on a channel              stream ALERTS
alerting.state                      all that the notifier must not forget       stream ALERTING
alerting.active                     alerts under way                            stream ALERTING
alerting.setup                      rules and channels of the notifier          stream ALERTING
alerting.cursor.<channel>           how far a channel has been told             stream ALERTING
alerting.silence.<silence>          silences                                    stream ALERTING
alerting.acknowledged.<alert>       who sees to an alert                        stream ALERTING
webhook.<tenant>.<delivery>         calls to callback URLs                      stream WEBHOOKS
workflow.head.<tenant>.<workflow>   a workflow                                  stream WORKFLOWS
workflow.content.<tenant>.<workflow>.<digest>  its versions                    stream WORKFLOWS
usage.<tenant>.<day>.<hour>         sums of what a tenant used                  stream USAGE
ledger.position                     how far the log is in those sums            stream USAGE
presence.<role>.<process>           a process is there, never stored
settings.scheduling                 the policy of scheduling                    stream SETTINGS
ask.scheduling                      questions to the scheduler that acts, never stored
told.<asker>                        answers to one asker, never stored
preview.<tenant>.<task_id>          previews, never stored
interest.<node>                     somebody watches previews of a task there, never stored
desk.<node>.<verb>                  requests of a node that may not read the log itself, never stored
wanted.<node>                       what operators want of a node has changed, told once, never stored
demand.<node>                       what waits for the pools of a node, told again and again, never stored
control.<node>                      orders to a node, repeated until obeyed, never stored
"""

from __future__ import annotations

from comfymesh.tasks.record import Key

ALL_TASKS = "task.>"
ALL_REPORTS = "report.*"
ALL_INTENTS = "intent.*"
ALL_ACCOUNTS = "account.>"
ALL_AUDITS = "audit.*"
ALL_ASSETS = "asset.*.*"
ALL_WORKFLOWS = "workflow.head.*.*"
ALL_UPLOADS = "upload.*.*"

SCHEDULING_SETTINGS = "settings.scheduling"
"""Where the policy of scheduling is."""

SCHEDULING_QUESTIONS = "ask.scheduling"
"""Where the scheduler that acts is asked."""

FLEET = "_fleet"
"""Owner of blobs that belong to no tenant, such as catalogs. No tenant's name begins with an underscore."""


def task(key: Key) -> str:
    """Where a task's records are."""
    return f"task.{key.tenant}.{key.task_id}"


def tasks_of(tenant: str) -> str:
    """Where the records of all tasks of a tenant are."""
    return f"task.{tenant}.*"


def spec(key: Key, digest: str) -> str:
    """Where a task's graph is. The digest is in the name so that a repeated request can't overwrite another's graph."""
    return f"spec.{key.tenant}.{key.task_id}.{digest}"


def specs(key: Key) -> str:
    """Every graph that was ever stored for a task: a create that lost against another has left its own."""
    return f"spec.{key.tenant}.{key.task_id}.*"


def lease(role: str) -> str:
    """Where it is told who acts in a role."""
    return f"lease.{role}"


def answers(asker: str) -> str:
    """Where answers to one asker go."""
    return f"told.{asker}"


def progress(key: Key) -> str:
    """Where the progress of a task's attempts is told."""
    return f"progress.{key.tenant}.{key.task_id}"


def preview(key: Key) -> str:
    """Where previews of a task flow while somebody watches."""
    return f"preview.{key.tenant}.{key.task_id}"


def interest(node: str) -> str:
    """Where watchers of previews make themselves known to a node."""
    return f"interest.{node}"


def work(node: str) -> str:
    """Where attempts for a node are."""
    return f"work.{node}"


def report(node: str) -> str:
    """Where a node's reports are."""
    return f"report.{node}"


def intent(node: str) -> str:
    """Where it is told what operators want of a node."""
    return f"intent.{node}"


def parse_intent(subject: str) -> str:
    """Of which node an intent is."""
    return subject.partition(".")[2]


def control(node: str) -> str:
    """Where orders to a node are given."""
    return f"control.{node}"


def wanted(node: str) -> str:
    """Where a node is told that its intent has changed."""
    return f"wanted.{node}"


def namesake(node: str) -> str:
    """Where an agent says hello to others of its node's name."""
    return f"namesake.{node}"


def demand(node: str) -> str:
    """Where a node is told what waits for its pools."""
    return f"demand.{node}"


def desk(node: str) -> str:
    """Where a node asks for what is its own; a verb follows."""
    return f"desk.{node}"


def blob(owner: str, sha256: str, index: int | str) -> str:
    """Where a piece of a blob is; `*` for all pieces."""
    return f"blob.{owner}.{sha256}.{index}"


def asset(tenant: str, sha256: str) -> str:
    """Where the description of an asset is; `*` for all of a tenant."""
    return f"asset.{tenant}.{sha256}"


def upload(tenant: str, sha256: str) -> str:
    """Where it is written how far an upload has come; `*` for all of a tenant."""
    return f"upload.{tenant}.{sha256}"


def parse_owned(subject: str) -> tuple[str, str]:
    """The owner and the SHA-256 in the subject of a blob's piece, an asset or an upload."""
    _, owner, sha256, *_ = subject.split(".")
    return owner, sha256


def is_task(subject: str) -> bool:
    """Whether records of a task are there."""
    return subject.startswith("task.")


ALL_NOTICES = "notice.*"
ALL_WEBHOOKS = "webhook.*.*"
ALL_PRESENCES = "presence.*.*"
ALL_PROGRESS = "progress.*.*"
SILENCES = "alerting.silence.*"
ACKNOWLEDGEMENTS = "alerting.acknowledged.*"
NOTIFIER_STATE = "alerting.state"
LEDGER_POSITION = "ledger.position"
ACTIVE_ALERTS = "alerting.active"
ALERTING_SETUP = "alerting.setup"


def notice(notice_id: str) -> str:
    """Where a notice is."""
    return f"notice.{notice_id}"


def delivered(notice_id: str, channel: str) -> str:
    """Where it is written what became of a notice on a channel; `*` for all channels."""
    return f"delivered.{notice_id}.{channel}"


def cursor(channel: str) -> str:
    """Where it is written how far a channel has been told."""
    return f"alerting.cursor.{channel}"


def silence(silence_id: str) -> str:
    """Where a silence is."""
    return f"alerting.silence.{silence_id}"


def acknowledgement(alert_id: str) -> str:
    """Where it is written who sees to an alert."""
    return f"alerting.acknowledged.{alert_id}"


def webhook(tenant: str, delivery_id: str) -> str:
    """Where a call to a callback URL is; `*` for all."""
    return f"webhook.{tenant}.{delivery_id}"


def presence(role: str, process: str) -> str:
    """Where a process in a role shows that it is there."""
    return f"presence.{role}.{process}"


def parse_task(subject: str) -> Key:
    """Whose task, and which, a subject of the log names."""
    _, tenant, task_id = subject.split(".")
    return Key(tenant, task_id)


def tenant(name: str) -> str:
    """Where a tenant is described."""
    return f"account.tenant.{name}"


def key(tenant: str, key_id: str) -> str:
    """Where an API key is described."""
    return f"account.key.{tenant}.{key_id}"


def audit(tenant: str) -> str:
    """Where it is told what the operators and administrators of a tenant did."""
    return f"audit.{tenant}"


def workflow(tenant: str, workflow_id: str) -> str:
    """Where a workflow is described."""
    return f"workflow.head.{tenant}.{workflow_id}"


def workflow_content(tenant: str, workflow_id: str, digest: str) -> str:
    """Where a version of a workflow is; `*` for all versions. Its content names it, so nothing can take its place."""
    return f"workflow.content.{tenant}.{workflow_id}.{digest}"


def parse_workflow(subject: str) -> tuple[str, str]:
    """Whose workflow, and which, a subject of a head names."""
    *_, tenant, workflow_id = subject.split(".")
    return tenant, workflow_id


def usage(tenant: str, day: str, hour: str = "*") -> str:
    """Where the sums of an hour of a day are (UTC, such as 20261128 and 07); `*` for all hours, or all tenants."""
    return f"usage.{tenant}.{day}.{hour}"


def parse_usage(subject: str) -> tuple[str, str]:
    """The tenant, and day and hour as ten digits, in a subject of sums."""
    _, tenant, day, hour = subject.split(".")
    return tenant, day + hour
