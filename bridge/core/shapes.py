"""The shapes that vendors share where the meaning is the same: a person is a person, whoever tells of it.

The one declaration of each: JSON Schemas, `docs/shapes.md` and `ce-dataschema` are made from it. What was published
under a version stays as it is: a field that is added, or means something else, makes a new version.

Names tell the kind: `…_at` is a moment, `…_on` a date, `…_ms` a length of time, `…_id` another entity of the same
vendor. What is nobody's business unless an operator says otherwise is in `private`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bridge.core.shape import PRIVATE, Field, Kind, Shape

_About = Literal["", "person", "private"]


def _field(kind: Kind, doc: str, about: _About = "", **fields: Field) -> Field:
    return Field(kind=kind, doc=doc, about=about, fields=fields)


def _text(doc: str, about: _About = "") -> Field:
    return _field("text", doc, about)


def _id(doc: str) -> Field:
    return _field("id", doc)


def _at(doc: str) -> Field:
    return _field("datetime", f"{doc} (RFC 3339, UTC, milliseconds)")


def _on(doc: str) -> Field:
    return _field("date", f"{doc} (YYYY-MM-DD)")


def _ms(doc: str) -> Field:
    return _field("ms", f"{doc} (milliseconds)")


def _private(**fields: Field) -> dict[str, Field]:
    return {PRIVATE: _field("object", "left out unless the operator asks for it", "private", **fields)}


_ADDRESS = {
    "street": _text("street and number"),
    "postal_code": _text("postal code"),
    "city": _text("city"),
    "country": _text("country, as the vendor spells it"),
}
_REACHED = {"email": _text("e-mail address"), "phone": _text("telephone number"), "mobile": _text("mobile number")}

PERSON = Shape(
    name="person", version=1, doc="Somebody who works with the vendor's system: an employee, an agent, a user.",
    fields={
        "name": _text("the whole name", "person"),
        "first_name": _text("first name", "person"),
        "last_name": _text("last name", "person"),
        "active": _field("truth", "whether the account is in use; a deactivated person is not a deleted one"),
        "role": _text("what the person may do, in the vendor's words"),
        "position": _text("job title"),
        "team_id": _id("the team"),
        "team_name": _text("name of the team"),
        "company_id": _id("the company"),
        "time_zone": _text("time zone, such as Europe/Berlin"),
        "started_at": _at("when the person began"),
        "ended_at": _at("when the person left"),
        "created_at": _at("when the account was made"),
        **_private(
            username=_text("login name"), **_REACHED, **_ADDRESS, born_on=_on("birthday"), note=_text("free text"),
        ),
    },
)  # fmt: skip

SESSION = Shape(
    name="session", version=1, doc="A remote support session.",
    fields={
        "name": _text("what it is called"),
        "state": _text("how far it is, in the vendor's words"),
        "type": _text("what kind of session, in the vendor's words"),
        "created_at": _at("when it was made"),
        "finished_at": _at("when it ended; null while it runs"),
        "duration_ms": _ms("how long it took, by the vendor's clock"),
        "custom_duration_ms": _ms("how long it took as somebody corrected it"),
        "invoice_state": _text("whether it was charged, in the vendor's words"),
        "company_id": _id("the company whose session it is"),
        "participants": _field(
            "objects", "who took part, in no order", supporter_id=_id("the supporter"),
            is_creator=_field("truth", "whether they made the session"), email=_text("e-mail address", "private"),
        ),
        "computer": _field("object", "the computer that was helped", id=_id("its id"), name=_text("its name")),
        "client": _field("object", "the customer it was for", id=_id("its id"), name=_text("its name")),
    },
)  # fmt: skip

SHIFT = Shape(
    name="shift", version=1, doc="When a person is planned to work.",
    fields={
        "person_id": _id("who is to work"),
        "person_name": _text("their name", "person"),
        "starts_at": _at("when it begins"),
        "ends_at": _at("when it ends"),
        "date": _on("the day it counts for"),
        "state": _text("how far planning is, in the vendor's words"),
        "kind": _text("what kind of shift, in the vendor's words"),
        "published": _field("truth", "whether the person has been told"),
        "team_id": _id("the team"),
        "team_name": _text("name of the team"),
        "planned_ms": _ms("how long is to be worked"),
        "break_ms": _ms("how long of it are breaks"),
        **_private(note=_text("free text"), absence=_text("why somebody is away: sickness, leave, …")),
    },
)  # fmt: skip

TIME_ENTRY = Shape(
    name="time-entry", version=1, doc="Time that a person has spent on something.",
    fields={
        "person_id": _id("whose time it is"),
        "person_name": _text("their name", "person"),
        "date": _on("the day it counts for"),
        "started_at": _at("when it began"),
        "ended_at": _at("when it ended; null while it runs"),
        "duration_ms": _ms("how long it took"),
        "kind": _text("what kind of work, in the vendor's words"),
        "category_id": _id("the category"),
        "category_name": _text("name of the category"),
        "project_id": _id("the project"),
        "project_number": _text("number of the project, as people know it"),
        "project_name": _text("name of the project"),
        "task_id": _id("the task"),
        "task_name": _text("name of the task"),
        "company_id": _id("the company it was for"),
        "company_name": _text("name of the company"),
        "shift_id": _id("the shift"),
        "description": _text("what was done, as people wrote it"),
        "billable": _field("truth", "whether it is to be charged"),
        "billed": _field("truth", "whether it has been charged"),
        "paid": _field("truth", "whether the person is paid for it"),
        "productive": _field("truth", "whether it counts as work"),
        "created_at": _at("when it was entered"),
        **_private(note=_text("free text"), absence=_text("why somebody is away: sickness, leave, …")),
    },
)  # fmt: skip

TASK = Shape(
    name="task", version=1, doc="Something to be done.",
    fields={
        "name": _text("what it is called"),
        "description": _text("what is to be done; may be HTML"),
        "kind": _text("what kind of task, such as task or milestone"),
        "state": _text("how far it is, in the vendor's words"),
        "done": _field("truth", "whether it is done"),
        "done_percent": _field("number", "how much of it is done, 0 to 100"),
        "priority": _text("how urgent it is, in the vendor's words"),
        "order": _field("number", "its place among its like"),
        "project_id": _id("the project"),
        "parent_id": _id("the task it is part of"),
        "person_id": _id("who is to do it"),
        "creator_id": _id("who made it"),
        "starts_on": _on("when it is to begin"),
        "ends_on": _on("when it is to be done"),
        "planned_ms": _ms("how long it is to take"),
        "recurring": _field("truth", "whether it comes again"),
        "created_at": _at("when it was made"),
    },
)  # fmt: skip

PROJECT = Shape(
    name="project", version=1, doc="Work with a begin, an end and somebody it is for.",
    fields={
        "number": _text("its number, as people know it"),
        "name": _text("what it is called"),
        "description": _text("what it is about"),
        "kind": _text("what kind of project, in the vendor's words"),
        "state": _text("how far the work is, in the vendor's words"),
        "finance_state": _text("how far its invoices are, in the vendor's words"),
        "active": _field("truth", "whether it is in use; a deactivated project is not a deleted one"),
        "internal": _field("truth", "whether it is for the company itself"),
        "template": _field("truth", "whether it is a pattern for others"),
        "recurring": _field("truth", "whether it comes again"),
        "company_id": _id("the company it is for"),
        "company_name": _text("name of the company"),
        "contact_id": _id("whom to speak to there"),
        "person_id": _id("who is responsible"),
        "creator_id": _id("who made it"),
        "group_id": _id("the group of projects"),
        "starts_on": _on("when it begins"),
        "ends_on": _on("when it ends"),
        "planned_ms": _ms("how long it is to take"),
        "people": _field("texts", "ids of those who work on it"),
        "tags": _field("texts", "its tags"),
        "created_at": _at("when it was made"),
    },
)  # fmt: skip

COMPANY = Shape(
    name="company", version=1, doc="A company: customer, supplier, prospect.",
    fields={
        "number": _text("its number, as people know it"),
        "name": _text("what it is called"),
        "kind": _text("what it is to us, such as customer or supplier"),
        "state": _text("its state, in the vendor's words"),
        "active": _field("truth", "whether it is in use; a deactivated company is not a deleted one"),
        "group": _text("the group it belongs to"),
        "parent_id": _id("the company it is part of"),
        "person_id": _id("who looks after it"),
        **_REACHED,
        "website": _text("its web address"),
        **_ADDRESS,
        "language": _text("the language to write in"),
        "currency": _text("the currency to charge in"),
        "created_at": _at("when it was entered"),
        **_private(tax_id=_text("tax or VAT number"), bank=_text("bank account"), note=_text("free text")),
    },
)  # fmt: skip

CONTACT = Shape(
    name="contact", version=1, doc="Somebody to speak to at a company.",
    fields={
        "company_id": _id("the company"),
        "company_name": _text("name of the company"),
        "name": _text("the whole name", "person"),
        "salutation": _text("how to address them", "person"),
        "title": _text("academic title", "person"),
        "first_name": _text("first name", "person"),
        "last_name": _text("last name", "person"),
        "position": _text("job title"),
        "department": _text("department"),
        "active": _field("truth", "whether it is in use; a deactivated contact is not a deleted one"),
        "address_id": _id("the address"),
        "language": _text("the language to speak"),
        "created_at": _at("when it was entered"),
        **_private(**_REACHED, **_ADDRESS, born_on=_on("birthday"), note=_text("free text")),
    },
)  # fmt: skip

SHAPES: Mapping[str, Shape] = {
    shape.id: shape for shape in (PERSON, SESSION, SHIFT, TIME_ENTRY, TASK, PROJECT, COMPANY, CONTACT)
}
"""Every version there is, as `person/1`."""

_NEWEST = {one.name: one for one in sorted(SHAPES.values(), key=lambda one: one.version)}


def newest(name: str) -> Shape | None:
    """The newest version of a shape; None where no shape is called so."""
    return _NEWEST.get(name)


def announced(entity: str, kinds: Mapping[str, str]) -> str | None:
    """The shape that a mapping of an entity by these kinds (our name: kind) yields, as `person/1`; None: none."""
    shape = newest(entity)
    return shape.id if shape is not None and shape.suits(kinds) else None
