"""The collections of an agency's software, as ProSonata names them: the shipped tables of its adapter.

What a row shows of others (names, sums) is left out: it is no change of that row. Reasons for absence, birthdays, bank
accounts and private addresses are in `private`. The list of fields is that of the vendor's pages, as far as they are
known; a field that a list does not have is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bridge.adapter import Ask, Json, Malformed, Record, Resource, numbered, resource, shape

DAY_S: Final = 86_400.0
MOST_ROWS: Final = 1000
"""In one answer."""
WORK: Final = frozenset({"work", "training"})
"""Kinds of a day that mean that somebody works."""
PERSONAL: Final = frozenset({"contact", "address", "working-time", "person"})
"""Entities whose rows hold what is private, as do all with a field in `private`: what cannot be read is not kept."""
WITHHELD: Final = b"withheld: it may hold what is private"
"""In place of a row of theirs that could not be read."""


def record(one: Resource, ask: Ask, row: Json) -> Record:
    """Map one row, whose id must be a number. Raises Malformed, which holds nothing that is private."""
    personal = one.entity in PERSONAL or shape.PRIVATE in one.mapper.groups
    withheld = WITHHELD if personal else b""
    try:
        found = one.record(row)
    except Malformed as error:
        raise Malformed(f"{error}", raw=withheld) from None
    if numbered.whole(found.id) is None:
        raise Malformed(f"{one.id} is text, expected the record's number", raw=withheld)
    return _settled(one, ask, found) if personal else found


def _settled(one: Resource, ask: Ask, found: Record) -> Record:
    """With what follows from what is private, or from where it was listed.

    Whether somebody works on a day is told, why not is private; a row that does not say whether it is active is as
    active as the rows that were asked for.
    """
    after = dict(found.after or {})
    private = after.get("private")
    if isinstance(private, dict) and "day_type" in private:
        kind = private["day_type"]
        after["working"] = None if kind is None else kind in WORK
    if one.parts and not ask.ids and after.get("active", True) is None:
        after["active"] = resource.part(one, ask) == "active"
    return replace(found, after=after)


def _one(path: str, entity: str, id_: str, fields: str, every_s: float, worth: float, **more: Any) -> Resource:
    """`fields`: `ours: theirs as kind; …`."""
    said = [text.partition(":") for text in fields.split(";")]
    given = {"one": f"{path}/{{id}}", "page_size": MOST_ROWS, "overlap_s": DAY_S, "zone": "Europe/Berlin", **more}
    return Resource(name=path, path=path, entity=entity, id=id_, every_s=every_s, worth=worth,
                    fields={name.strip(): text.strip() for name, _, text in said}, **given)  # fmt: skip


def _dated(parameter: str, reach_days: int, dated: str = "date") -> Mapping[str, Any]:
    """Rows of recent days and all later ones by a short window, all rows four times a day."""
    return {"window_from": f"{parameter}=>{{date}}", "dated": dated, "reach_s": reach_days * DAY_S,
            "ahead_s": 3650 * DAY_S, "slow_every_s": DAY_S / 4}  # fmt: skip


SHIPPED: Sequence[Resource] = (
    _one("projects", "project", "projectID", "number: projectNo as text; name: projectName as text; "
         "description: projectQuickInfo as text; state: projectStatus as words 0=open 1=being-billed 2=finished "
         "3=cancelled 4=ready-to-bill; finance_state: financeStatus as words 0=none 1=quotation 2=invoice 3=reminder-1 "
         "4=reminder-2 5=reminder-3; active: activeStatus as truth; template: isProjectTemplate as truth; "
         "department_id: internalDepartment as id; recurrence: recurringProject as id; company_id: customerID as id; "
         "contact_id: contactID as id; person_id: userResponsibleID as id; creator_id: createdByUserID as id; "
         "group_id: projectGroupID as id; starts_on: projectDate as date; ends_on: projectDateEnd as date; "
         "planned_ms: timePlanned as hours; labels: projectTags as text", 120, 3),
    _one("projecttasks", "task", "taskID", "name: taskName as text; description: taskInfo as text; "
         "kind: type as words 0=task 1=milestone; done: done as truth; done_percent: donePercentage as number; "
         "priority: taskPrio as text; order: taskOrder as number; project_id: projectID as id; "
         "person_id: userID as id; creator_id: createdByUserID as id; starts_on: taskDateStart as date; "
         "ends_on: taskDateEnd as date; "
         "start_time: taskTimeStart as time; end_time: taskTimeEnd as time; planned_ms: timePlanned as hours; "
         "recurrence: recurringTask as id; created_at: taskCreationDate as datetime", 120, 3,
         version="taskEditDate as datetime", probe_every_s=600),
    _one("projecttimes", "time-entry", "timeID", "person_id: userID as id; date: date as date; "
         "duration_ms: workingTime as hours; category_id: category as id; project_id: projectID as id; "
         "task_id: linkedTaskID as id; company_id: customerID as id; description: detail as text; "
         "not_billable: notInvoiceable as truth; billed: isInvoiced as truth; start_time: workingTimeStart as time; "
         "end_time: workingTimeEnd as time; created_at: creationDate as datetime", 120, 2, **_dated("date", 14)),
    _one("workingtimes", "working-time", "workingTimeID", "person_id: userID as id; date: workingDate as date; "
         "start_time: dailyTimeStart as time; end_time: dailyTimeEnd as time; home_office: homeOffice as truth; "
         "private.half_holiday: halfHoliday as truth; private.day_type: dayType as words 0=work 1=holiday 2=sickness "
         "3=public-holiday 4=training 5=time-off 6=leave", 300, 2, **_dated("workingDate", 14)),
    # Where one event is read nobody documents for sure: what left the window by its date is never taken for deleted.
    _one("crmevents", "crm-event", "eventID", "date: eventDate as date; kind: eventType as text; "
         "subject: subject as text; description: detail as text; company_id: customerID as id; "
         "contact_id: contactID as id; person_id: userID as id; project_id: projectID as id; "
         "follow_up_on: followUpDate as date; follow_up_done: followUpDone as truth", 300, 2, one="crmevent/{id}",
         **_dated("eventDate", 30, dated="")),
    _one("quotations", "quotation", "quotationID", "number: quotationNo as text; project_id: projectID as id; "
         "company_id: customerID as id; address_id: addressID as id; date: quotationDate as date; "
         "subject: subject as text; net: totalNet as number; tax: tax as number; gross: totalGross as number; "
         "sent: isSent as truth; sent_on: sentDate as date", 600, 1),
    _one("customers", "company", "customerID", "name: customerName as text; kind: companyStatus as words 0=customer "
         "1=supplier 2=prospect 3=acquisition 4=press 5=inactive 6=other", 600, 1),
    _one("contacts", "contact", "contactID", "company_id: customerID as id; address_id: addressID as id; "
         "salutation: salutation as text; first_name: firstName as text; last_name: lastName as text; "
         "position: position as text; active: active as truth; created_at: contactCreationDate as datetime; "
         "private.email: email as text; private.phone: phone as text; private.mobile: mobile as text; "
         "private.street: privateStreet as text; private.city: privateCity as text; private.born_on: birthday as date",
         900, 1, parts={"active": "active=1", "inactive": "active=0"}),
    _one("addresses", "address", "addressID", "company_id: customerID as id; name: name1 as text; "
         "name_more: name2 as text; street: street as text; house_number: houseNo as text; "
         "postal_code: zipCode as text; city: city as text; country: country as text; active: addressActive as truth; "
         "private.iban: IBAN as text; private.bic: BIC as text", 3600, 0.5,
         parts={"active": "addressActive=1", "inactive": "addressActive=0"}),
    _one("externalcosts", "external-cost", "documentID", "project_id: projectID as id; supplier_id: supplierID as id; "
         "number: documentNo as text; date: documentDate as date; received_on: receiptDate as date; "
         "paid_on: paymentDate as date; description: description as text; net: amountNet as number; "
         "tax: tax as number", 900, 0.5),
)  # fmt: skip
