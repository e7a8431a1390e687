"""What a consumer must see of the played ProSonata: the judge's own reading, written from the vendor's notes.

Independent of the adapter on purpose: a judge that used the adapter's mapping would check it against itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bridge.sandbox.prosonata_fields import RESOURCES
from bridge.sandbox.prosonata_rows import ZONE

ENTITIES: Final = {
    "projects": "project", "projecttasks": "task", "projecttimes": "time-entry", "workingtimes": "working-time",
    "customers": "company", "contacts": "contact", "addresses": "address", "crmevents": "crm-event",
    "quotations": "quotation", "externalcosts": "external-cost",
}  # fmt: skip
"""What one row of a resource is called in events."""

_OF_KEY: Final = {resource.key: path for path, resource in RESOURCES.items()}

Read = Callable[[Any], Any]


def _id(value: Any) -> Any:
    return str(value) if value else None


def _yes(value: Any) -> Any:
    return bool(value)


def _ms(value: Any) -> Any:
    return round(float(value) * 3_600_000)


def _utc(value: Any) -> Any:
    local = datetime.strptime(value, "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONE)
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _word(*words: str) -> Read:
    return lambda value: words[value]


# Theirs, ours, and how ours is made of theirs (None: as it is).
_SEEN: Final[Mapping[str, list[tuple[str, str, Read | None]]]] = {
    "projects": [
        ("projectNo", "number", None),
        ("projectName", "name", None),
        ("projectQuickInfo", "description", None),
        ("projectStatus", "state", _word("open", "being-billed", "finished", "cancelled", "ready-to-bill")),
        ("financeStatus", "finance_state", _word("none", "quotation", "invoice")),
        ("activeStatus", "active", _yes),
        ("isProjectTemplate", "template", _yes),
        ("internalDepartment", "department_id", _id),
        ("recurringProject", "recurrence", _id),
        ("customerID", "company_id", _id),
        ("contactID", "contact_id", _id),
        ("userResponsibleID", "person_id", _id),
        ("createdByUserID", "creator_id", _id),
        ("projectGroupID", "group_id", _id),
        ("projectDate", "starts_on", None),
        ("projectDateEnd", "ends_on", None),
        ("timePlanned", "planned_ms", _ms),
        ("projectTags", "labels", None),
    ],
    "projecttasks": [
        ("taskName", "name", None),
        ("taskInfo", "description", None),
        ("type", "kind", _word("task", "milestone")),
        ("done", "done", _yes),
        ("donePercentage", "done_percent", None),
        ("taskPrio", "priority", str),
        ("taskOrder", "order", None),
        ("projectID", "project_id", _id),
        ("userID", "person_id", _id),
        ("createdByUserID", "creator_id", _id),
        ("taskDateStart", "starts_on", None),
        ("taskDateEnd", "ends_on", None),
        ("taskTimeStart", "start_time", None),
        ("taskTimeEnd", "end_time", None),
        ("timePlanned", "planned_ms", _ms),
        ("recurringTask", "recurrence", _id),
        ("taskCreationDate", "created_at", _utc),
    ],
    "projecttimes": [
        ("userID", "person_id", _id),
        ("date", "date", None),
        ("workingTime", "duration_ms", _ms),
        ("category", "category_id", _id),
        ("projectID", "project_id", _id),
        ("linkedTaskID", "task_id", _id),
        ("customerID", "company_id", _id),
        ("detail", "description", None),
        ("notInvoiceable", "not_billable", _yes),
        ("isInvoiced", "billed", _yes),
        ("workingTimeStart", "start_time", None),
        ("workingTimeEnd", "end_time", None),
        ("creationDate", "created_at", _utc),
    ],
    "workingtimes": [
        ("userID", "person_id", _id),
        ("workingDate", "date", None),
        ("dailyTimeStart", "start_time", None),
        ("dailyTimeEnd", "end_time", None),
        ("homeOffice", "home_office", _yes),
        ("dayType", "working", lambda value: value in (0, 4)),
    ],
    "crmevents": [
        ("eventDate", "date", None),
        ("eventType", "kind", str),
        ("subject", "subject", None),
        ("detail", "description", None),
        ("customerID", "company_id", _id),
        ("contactID", "contact_id", _id),
        ("userID", "person_id", _id),
        ("projectID", "project_id", _id),
        ("followUpDate", "follow_up_on", None),
        ("followUpDone", "follow_up_done", _yes),
    ],
    "quotations": [
        ("quotationNo", "number", None),
        ("projectID", "project_id", _id),
        ("customerID", "company_id", _id),
        ("addressID", "address_id", _id),
        ("quotationDate", "date", None),
        ("subject", "subject", None),
        ("totalNet", "net", float),
        ("tax", "tax", float),
        ("totalGross", "gross", float),
        ("isSent", "sent", _yes),
        ("sentDate", "sent_on", None),
    ],
    "customers": [
        ("customerName", "name", None),
        ("companyStatus", "kind", _word("customer", "supplier", "prospect")),
    ],
    "contacts": [
        ("customerID", "company_id", _id),
        ("addressID", "address_id", _id),
        ("salutation", "salutation", None),
        ("firstName", "first_name", None),
        ("lastName", "last_name", None),
        ("position", "position", None),
        ("active", "active", _yes),
        ("contactCreationDate", "created_at", _utc),
    ],
    "addresses": [
        ("customerID", "company_id", _id),
        ("name1", "name", None),
        ("name2", "name_more", None),
        ("street", "street", None),
        ("houseNo", "house_number", None),
        ("zipCode", "postal_code", None),
        ("city", "city", None),
        ("country", "country", None),
        ("addressActive", "active", _yes),
    ],
    "externalcosts": [
        ("projectID", "project_id", _id),
        ("supplierID", "supplier_id", _id),
        ("documentNo", "number", None),
        ("documentDate", "date", None),
        ("receiptDate", "received_on", None),
        ("paymentDate", "paid_on", None),
        ("description", "description", None),
        ("amountNet", "net", float),
        ("tax", "tax", float),
    ],
}


def as_issued(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a consumer must see it. A row's first field is its id, and tells of which resource it is."""
    found: dict[str, Any] = {}
    for theirs, ours, read in _SEEN[_OF_KEY[next(iter(record))]]:
        value = record[theirs]
        found[ours] = value if value is None or value == "" or read is None else read(value)
    return as_seen(found)


def as_seen(after: Mapping[str, Any]) -> dict[str, Any]:
    """An event's `after` in the same terms: "" says as much as null."""
    return {name: value for name, value in after.items() if value is not None and value != ""}
