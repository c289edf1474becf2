from comfymesh.v1 import alert_pb2 as _alert_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ActiveAlerts(_message.Message):
    __slots__ = ("alerts", "update_time")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[_alert_pb2.Alert]
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, alerts: _Optional[_Iterable[_Union[_alert_pb2.Alert, _Mapping]]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AlertingSetup(_message.Message):
    __slots__ = ("rules", "channels")
    RULES_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[_alert_pb2.AlertRule]
    channels: _containers.RepeatedCompositeFieldContainer[_alert_pb2.AlertChannel]
    def __init__(self, rules: _Optional[_Iterable[_Union[_alert_pb2.AlertRule, _Mapping]]] = ..., channels: _Optional[_Iterable[_Union[_alert_pb2.AlertChannel, _Mapping]]] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("acknowledged_by", "time")
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    acknowledged_by: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, acknowledged_by: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Webhook(_message.Message):
    __slots__ = ("delivery", "tenant", "payload")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    delivery: _alert_pb2.WebhookDelivery
    tenant: str
    payload: bytes
    def __init__(self, delivery: _Optional[_Union[_alert_pb2.WebhookDelivery, _Mapping]] = ..., tenant: _Optional[str] = ..., payload: _Optional[bytes] = ...) -> None: ...
