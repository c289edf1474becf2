from comfymesh.v1 import task_pb2 as _task_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlertSeverity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_SEVERITY_UNSPECIFIED: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_INFO: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_WARNING: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_ERROR: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_CRITICAL: _ClassVar[AlertSeverity]
ALERT_SEVERITY_UNSPECIFIED: AlertSeverity
ALERT_SEVERITY_INFO: AlertSeverity
ALERT_SEVERITY_WARNING: AlertSeverity
ALERT_SEVERITY_ERROR: AlertSeverity
ALERT_SEVERITY_CRITICAL: AlertSeverity

class Alert(_message.Message):
    __slots__ = ("name", "rule", "severity", "state", "labels", "message", "count", "start_time", "last_time", "last_notice_time", "acknowledged_by", "escalated", "noticed_by")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Alert.State]
        STATE_PENDING: _ClassVar[Alert.State]
        STATE_FIRING: _ClassVar[Alert.State]
    STATE_UNSPECIFIED: Alert.State
    STATE_PENDING: Alert.State
    STATE_FIRING: Alert.State
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_NOTICE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_FIELD_NUMBER: _ClassVar[int]
    NOTICED_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    rule: str
    severity: AlertSeverity
    state: Alert.State
    labels: _containers.ScalarMap[str, str]
    message: str
    count: int
    start_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    last_notice_time: _timestamp_pb2.Timestamp
    acknowledged_by: str
    escalated: bool
    noticed_by: str
    def __init__(self, name: _Optional[str] = ..., rule: _Optional[str] = ..., severity: _Optional[_Union[AlertSeverity, str]] = ..., state: _Optional[_Union[Alert.State, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., message: _Optional[str] = ..., count: _Optional[int] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_notice_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledged_by: _Optional[str] = ..., escalated: bool = ..., noticed_by: _Optional[str] = ...) -> None: ...

class AlertNotice(_message.Message):
    __slots__ = ("name", "kind", "alert", "severity", "new_count", "suppressed_count", "title", "text", "channels", "create_time", "deliveries")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[AlertNotice.Kind]
        KIND_FIRING: _ClassVar[AlertNotice.Kind]
        KIND_REPEATED: _ClassVar[AlertNotice.Kind]
        KIND_ESCALATED: _ClassVar[AlertNotice.Kind]
        KIND_RESOLVED: _ClassVar[AlertNotice.Kind]
        KIND_TEST: _ClassVar[AlertNotice.Kind]
    KIND_UNSPECIFIED: AlertNotice.Kind
    KIND_FIRING: AlertNotice.Kind
    KIND_REPEATED: AlertNotice.Kind
    KIND_ESCALATED: AlertNotice.Kind
    KIND_RESOLVED: AlertNotice.Kind
    KIND_TEST: AlertNotice.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ALERT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    NEW_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: AlertNotice.Kind
    alert: Alert
    severity: AlertSeverity
    new_count: int
    suppressed_count: int
    title: str
    text: str
    channels: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    deliveries: _containers.RepeatedCompositeFieldContainer[ChannelDelivery]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[AlertNotice.Kind, str]] = ..., alert: _Optional[_Union[Alert, _Mapping]] = ..., severity: _Optional[_Union[AlertSeverity, str]] = ..., new_count: _Optional[int] = ..., suppressed_count: _Optional[int] = ..., title: _Optional[str] = ..., text: _Optional[str] = ..., channels: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., deliveries: _Optional[_Iterable[_Union[ChannelDelivery, _Mapping]]] = ...) -> None: ...

class ChannelDelivery(_message.Message):
    __slots__ = ("channel", "state", "attempt_count", "error", "end_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ChannelDelivery.State]
        STATE_DELIVERED: _ClassVar[ChannelDelivery.State]
        STATE_FAILED: _ClassVar[ChannelDelivery.State]
    STATE_UNSPECIFIED: ChannelDelivery.State
    STATE_DELIVERED: ChannelDelivery.State
    STATE_FAILED: ChannelDelivery.State
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    channel: str
    state: ChannelDelivery.State
    attempt_count: int
    error: str
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, channel: _Optional[str] = ..., state: _Optional[_Union[ChannelDelivery.State, str]] = ..., attempt_count: _Optional[int] = ..., error: _Optional[str] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AlertRule(_message.Message):
    __slots__ = ("name", "kind", "severity", "channels", "runbook", "definition_json")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    RUNBOOK_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    severity: AlertSeverity
    channels: _containers.RepeatedScalarFieldContainer[str]
    runbook: str
    definition_json: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., severity: _Optional[_Union[AlertSeverity, str]] = ..., channels: _Optional[_Iterable[str]] = ..., runbook: _Optional[str] = ..., definition_json: _Optional[str] = ...) -> None: ...

class AlertChannel(_message.Message):
    __slots__ = ("name", "address", "severity")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    severity: AlertSeverity
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., severity: _Optional[_Union[AlertSeverity, str]] = ...) -> None: ...

class Silence(_message.Message):
    __slots__ = ("name", "rules", "labels", "start_time", "end_time", "comment", "created_by", "create_time")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    rules: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    comment: str
    created_by: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., rules: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., comment: _Optional[str] = ..., created_by: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WebhookDelivery(_message.Message):
    __slots__ = ("name", "task", "task_state", "url", "state", "attempt_count", "last_status", "last_error", "create_time", "next_attempt_time", "end_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[WebhookDelivery.State]
        STATE_PENDING: _ClassVar[WebhookDelivery.State]
        STATE_DELIVERED: _ClassVar[WebhookDelivery.State]
        STATE_FAILED: _ClassVar[WebhookDelivery.State]
    STATE_UNSPECIFIED: WebhookDelivery.State
    STATE_PENDING: WebhookDelivery.State
    STATE_DELIVERED: WebhookDelivery.State
    STATE_FAILED: WebhookDelivery.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    TASK_STATE_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    task: str
    task_state: _task_pb2.Task.State
    url: str
    state: WebhookDelivery.State
    attempt_count: int
    last_status: int
    last_error: str
    create_time: _timestamp_pb2.Timestamp
    next_attempt_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., task: _Optional[str] = ..., task_state: _Optional[_Union[_task_pb2.Task.State, str]] = ..., url: _Optional[str] = ..., state: _Optional[_Union[WebhookDelivery.State, str]] = ..., attempt_count: _Optional[int] = ..., last_status: _Optional[int] = ..., last_error: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., next_attempt_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
