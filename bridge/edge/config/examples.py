"""An example of each key, as it would be written into the file; for the reference."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any, Literal

from bridge.core.secret import Secret
from bridge.edge.config.convert import at_least, without_none
from bridge.edge.config.schema import default_of

_OF = {
    # [nats], [nats.tls]
    "NatsSettings.url": '["tls://nats-1:4222", "tls://nats-2:4222"]',
    "tls": '{ cert = "/etc/bridged/door.pem", key = "/etc/bridged/door.key" }',
    "NatsSettings.tls": '{ ca = "/etc/bridged/ca.pem" }',
    "creds": '"/etc/bridged/bridge.creds"',
    "NatsSettings.user": '"bridge"',
    "stream": '"BRIDGE_TEST"',
    "state_bucket": '"bridge-test-state"',
    "lease_bucket": '"bridge-test-leases"',
    "telemetry_stream": '"BRIDGE_TEST_TELEMETRY"',
    "max_age_days": "365",
    "replicas": "3",
    "domain": '"hub"',
    "api_prefix": '"$JS.hub.API"',
    "inbox_prefix": '"_INBOX_bridge"',
    "ca": '"/etc/bridged/ca.pem"',
    "cert": '"/etc/bridged/bridge.pem"',
    "key": '"/etc/bridged/bridge.key"',
    "hostname": '"nats.example.net"',
    # [daemon], [ingress], [status], [tracing]
    "state_dir": '"/var/lib/bridged"',
    "instance": '"north"',
    "IngressSettings.listen": '"0.0.0.0:8791"',
    "client_ca": '"/etc/bridged/senders.pem"',
    "StatusSettings.listen": '"10.0.0.7:8790"',
    "endpoint": '"http://127.0.0.1:4318/v1/traces"',
    "ratio": "0.1",
    # [[alert]]
    "AlertSettings.name": '"new-session"',
    "subjects": '["events.pcvisit.acme.session.created.>"]',
    "where": "'after.supporter == \"Alice\"'",
    "title": '"Session with {after.computer.name | an unnamed computer}"',
    "body": '"begun at {time}"',
    "webhook": '[{ name = "desk", url = "https://desk.example.com/hook", secret = { env = "DESK_KEY" } }]',
    "group_by": '["source", "after.site.id"]',
    "throttle": '"10m"',
    "AlertSettings.digest": '"1h"',
    "quiet": '{ begin = "22:00", end = "06:30", zone = "Europe/Berlin" }',
    "AlertWebhook.name": '"desk"',
    "AlertWebhook.url": '"https://desk.example.com/hook"',
    "begin": '"22:00"',
    "end": '"06:30"',
    "days": '["mon", "tue"]',
    # every [[source]]
    "name": '"acme"',
    "adapter": '"pcvisit"',
    "omit": '["participants.*.email", "computer.name"]',
    "zone": '"Europe/Berlin"',
    # live sessions
    "ws_proxy": '"http://proxy.example.net:3128"',
    "ws_close_codes": '{ 4403 = "refresh" }',
    "ws_url": '"wss://vendor.example.com/graphql"',
    "ka_timeout_s": "60",
    "ws_idle_timeout_s": "120",
    "namespace": '"/live"',
    "ws_path": '"/socket.io/"',
    "subscription": '[{ name = "changed", shape = "session", document = "subscription { changed { id } }" }]',
    "document": '"subscription { eventChanged { event { id name } } }"',
    "variables": '{ company = "{company}" }',
    "path": '"eventChanged.event"',
    "shape": '"session"',
    "entity": '"computer"',
    "id": '"computerId"',
    "fields": '{ online = "online" }',
    "at": '"changedAt"',
    "version": '"revision"',
    "gone": '"deletedAt"',
    # GraphQL vendors
    "http_url": '"https://pcvisit.example.com/graphql"',
    "graphql_url": '"https://x-assist.example.com/graphql"',
    "companies": '["12345678-1234-1234-1234-123456789012"]',
    "history_filter": '{ field = "state", value = "finished" }',
    "history_sort": '[{ field = "begin", order = "DESC" }]',
    "history_search": '{ text = "printer" }',
    "client_id": '"bridge"',
    "issuer": '"https://login.example.com"',
    "token_url": '"https://login.example.com/oauth/token"',
    "token_hosts": '["tokens.example.com"]',
    "scope": '"events.read"',
    "accept_language": '"de"',
    "event_fields": '{ area = "area.code", begin = "startsAt as datetime" }',
    "event_type": '"TravelEvent"',
    "event_language": '"EN"',
    "event_filter": '{ severity = "HIGH" }',
    "event_filter_argument": '"where"',
    "event_filter_type": '"EventFilter"',
    "ws_init_key": '"Authorization"',
    "cable_channel": '"EventsChannel"',
    # the platform
    "base_url": '"https://iot.example.com"',
    "login": '"bridge"',
    "stores": '["objects", "models", "users"]',
    "store_fields": '{ objects = ["id", "name"] }',
    "stores_lag_s": "5",
    "events": '["object-online"]',
    "ignore_events": '["object-packet"]',
    "objects": '["5f1e8a", "5f1e8b"]',
    # REST vendors
    "agyletime.omit": '["private"]',
    "prosonata.omit": '["private.birthday"]',
    "platform.omit": '["personal_data.email"]',
    "subdomain": '"acme"',
    "tenant_url": '"https://acme.cloud.example.net"',
    "regional_url": '"https://eu.cloud.example.net"',
    "key_id": '"0a1b2c3d"',
    "token_path": '"/api/token"',
    "token_form": '{ grant_type = "client_credentials" }',
    "requests_per_block": "500",
    "resource": '[{ name = "addresses", enabled = false }]',
    "ResourceTable.name": '"addresses"',
    "enabled": "false",
    "ResourceTable.entity": '"project"',
    "host": '"regional"',
    "ResourceTable.path": '"projects"',
    "one": '"projects/{id}"',
    "query": '{ embed = "customer" }',
    "parts": '{ active = "active=1", inactive = "active=0" }',
    "ResourceTable.id": '"projectID"',
    "ResourceTable.fields": '{ number = "projectNo", begin = "startDate as date" }',
    "ResourceTable.version": '"changedAt"',
    "dated": '"started_at"',
    "window_from": '"from={datetime}"',
    "window_to": '"to={datetime}"',
    "every_s": "300",
    "reach_s": "86400",
    "ahead_s": "86400",
    "slow_every_s": "21600",
    "slow_reach_s": "2592000",
    "overlap_s": "900",
    "probe_every_s": "60",
    "page_size": "100",
    "worth": "2",
    # webhooks
    "public_keys": '["whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="]',
    "header_prefix": '"svix"',
    "hmac": '{ header = "X-Hub-Signature-256", prefix = "sha256=" }',
    "WebhookSettings.header": '"X-Gitlab-Token"',
    "user": '"sender"',
    "clients": '["sender.example.com"]',
    "delivery_id": '"headers.x-github-delivery"',
    "allowed_origins": '["events.example.com"]',
    "allowed_rate": "120",
    "event": '[{ entity = "order", id = "body.data.id" }]',
    "HmacTable.key": '"base64"',
    "header": '"X-Hub-Signature-256"',
    "prefix": '"sha256="',
    "separator": '";"',
    "timestamp_header": '"X-Timestamp"',
    "timestamp_prefix": '"t="',
    "signed": '"{timestamp}.{body}"',
    "when": '{ "body.type" = ["order.created", "order.updated"] }',
    "each": '"body.items"',
    "EventTable.entity": '"order"',
    "EventTable.id": '"body.data.id"',
    "change": '"changed"',
    "changes": '{ opened = "changed", removed = "deleted", ping = "drop" }',
    "EventTable.version": '"body.updated_at as datetime"',
    "EventTable.at": '"body.created_at as datetime"',
    "EventTable.gone": '"body.data.deleted_at"',
    "EventTable.fields": '{ state = "body.data.state", total = "body.data.total as number" }',
}  # fmt: skip
"""By key; by class and key, or by adapter and key, where a key means different things."""


def example(cls: type, name: str, field: dataclasses.Field[Any], hint: Any) -> str:
    """What may stand behind `name =`: one of ours, else one that differs from the default; "" if nothing fits."""
    places = (f"{cls.__module__.rpartition('.')[2]}.{name}", f"{cls.__name__}.{name}", name)
    if found := next((_OF[place] for place in places if place in _OF), ""):
        return found
    hint = without_none(hint)
    inner, default = typing.get_args(hint), default_of(field)
    if hint is Secret:
        return f'{{ credential = "{name.replace("_", "-")}" }}'
    if typing.get_origin(hint) is list and inner[0] is Secret:
        return '[{ env = "OPS_CHANNEL" }]' if name == "notify" else f'[{{ credential = "{name}" }}]'
    if hint is bool:
        return json.dumps(not default)
    if typing.get_origin(hint) is Literal:
        return json.dumps(next((choice for choice in inner if choice != default), default))
    if hint in (int, float) and default is not None:
        return f"{default * 2 or max(1, at_least(field) or 1):.12g}"
    return ""
