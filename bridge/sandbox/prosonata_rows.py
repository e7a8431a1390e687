"""What the played ProSonata's random rows say, and what an edit changes in them. Nobody in them exists."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

ZONE: Final = ZoneInfo("Europe/Berlin")
FIRST: Final = ("Anna", "Bilal", "Chloé", "Dmitri", "Eun-ji", "Fatima", "Göran", "Hana")
LAST: Final = ("Ahlers", "Brandner", "Çelik", "Dörfler", "Ebeling", "Fröhlich", "Groß", "Hansen")
PERSONS: Final = {100 + n: (first, last) for n, (first, last) in enumerate(zip(FIRST, LAST, strict=True))}
"""The agency's own people, by `userID`."""
CATEGORIES: Final = {1: "Konzept", 2: "Gestaltung", 3: "Text", 4: "Umsetzung", 5: "Besprechung"}
_TRADES: Final = ("Bäckerei", "Spedition", "Brauerei", "Werft", "Gärtnerei", "Optik", "Druckerei", "Kanzlei")
_FORMS: Final = ("GmbH", "AG", "KG", "e. V.")
_WORKS: Final = ("Relaunch Website", "Imagebroschüre", "Messestand", "Kampagne Herbst", "Logo", "Newsletter", "Katalog")
_TASKS: Final = ("Briefing lesen", "Entwurf 1", "Korrektur", "Druckdaten", "Freigabe einholen", "Bildauswahl")
_CITIES: Final = (("20095", "Hamburg"), ("01067", "Dresden"), ("80331", "München"), ("50667", "Köln"))
_STREETS: Final = ("Lindenweg", "Hafenstraße", "Am Markt", "Ringallee")

Any_ = Callable[[str], int]
"""The id of one row of a resource that there is, or 0."""


def local(ms: int) -> datetime:
    """A moment as the vendor's clocks on the wall show it."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZONE)


def stamp(ms: int) -> str:
    """A moment as the vendor writes it: local time, no zone."""
    return local(ms).strftime("%Y-%m-%d %H:%M:%S")


def made(rng: random.Random, resource: str, number: int, now_ms: int, some: Any_) -> dict[str, Any]:
    """What a new row of a resource says, beside its id."""
    today = local(now_ms).date()
    day = (today - timedelta(days=rng.randrange(30))).isoformat()
    later = (today + timedelta(days=rng.randrange(1, 60))).isoformat()
    person = rng.choice(list(PERSONS))
    hours = f"{rng.randrange(1, 33) / 4:.2f}"
    match resource:
        case "customers":
            name = f"{rng.choice(_TRADES)} {rng.choice(LAST)} {rng.choice(_FORMS)}"
            status = rng.choice((0, 0, 0, 1, 2))
            return {
                "customerNo": f"K{number:05d}",
                "customerName": name,
                "companyStatus": status,
                "hourlyRate": f"{rng.randrange(70, 130)}.00",
            }
        case "contacts":
            first, last = rng.choice(FIRST), rng.choice(LAST)
            return {
                "customerID": some("customers"),
                "addressID": some("addresses"),
                "salutation": rng.choice(("Frau", "Herr", "")),
                "firstName": first,
                "lastName": last,
                "position": rng.choice(("Einkauf", "Marketing", None)),
                "email": f"{last.lower()}{number}@kunde.example",
                "phone": f"+49 40 555{number % 1000:03d}",
                "mobile": None,
                "privateStreet": f"{rng.choice(_STREETS)} {number % 90 + 1}",
                "privateCity": rng.choice(_CITIES)[1],
                "birthday": f"19{rng.randrange(55, 99)}-0{rng.randrange(1, 10)}-1{rng.randrange(10)}",
                "contactCreationDate": stamp(now_ms) if rng.random() < 0.8 else None,
                "active": 1,
            }
        case "addresses":
            code, city = rng.choice(_CITIES)
            iban = f"DE{rng.randrange(10, 99)}{rng.getrandbits(59):018d}"
            return {
                "customerID": some("customers"),
                "name1": f"Standort {number}",
                "name2": rng.choice(("", "Haus B")),
                "street": rng.choice(_STREETS),
                "houseNo": rng.choice(("7", "12a", "101")),
                "zipCode": code,
                "city": city,
                "country": "Deutschland",
                "IBAN": iban,
                "BIC": "EXAMDEFFXXX",
                "addressCreatedByUserID": person,
                "addressEditedByUserID": person,
                "addressActive": 1,
            }
        case "projects":
            return {
                "projectNo": f"P-{number:04d}",
                "projectName": f"{rng.choice(_WORKS)} {number}",
                "customerID": some("customers"),
                "contactID": some("contacts"),
                "projectStatus": 0,
                "financeStatus": 0,
                "activeStatus": 1,
                "projectDate": day,
                "projectDateEnd": later,
                "recurringProject": 0,
                "userResponsibleID": person,
                "timePlanned": hours,
                "projectTags": rng.choice(("", "print", "web,text")),
                "projectQuickInfo": rng.choice((None, "Rückruf Montag")),
                "internalDepartment": 0,
                "projectGroupID": rng.randrange(3),
                "isProjectTemplate": 0,
                "createdByUserID": person,
            }
        case "projecttasks":
            return {
                "taskName": f"{rng.choice(_TASKS)} {number}",
                "taskInfo": rng.choice(("", "<p>Siehe <b>Briefing</b></p>")),
                "projectID": some("projects"),
                "userID": person,
                "taskDateStart": day,
                "taskDateEnd": later,
                "taskTimeStart": None,
                "taskTimeEnd": "17:00:00",
                "timePlanned": hours,
                "recurringTask": 0,
                "taskOrder": number,
                "taskPrio": rng.choice((0, 1, 5, 9)),
                "type": 0,
                "read": 0,
                "done": 0,
                "donePercentage": 0,
                "taskCreationDate": stamp(now_ms),
                "taskEditDate": stamp(now_ms),
                "createdByUserID": person,
                "editedByUserID": person,
            }
        case "projecttimes":
            return {
                "category": rng.choice(list(CATEGORIES)),
                "date": day,
                "detail": rng.choice(("", "Entwürfe ausgearbeitet", "Telefonat, Korrekturen")),
                "workingTime": hours,
                "projectID": some("projects"),
                "customerID": some("customers"),
                "userID": person,
                "linkedTaskID": some("projecttasks") if rng.random() < 0.4 else 0,
                "notInvoiceable": 0,
                "isInvoiced": 0,
                "workingTimeStart": "09:00:00",
                "workingTimeEnd": None,
                "freeTimeInput": "",
                "timeViaApi": 0,
                "creationDate": stamp(now_ms),
            }
        case "workingtimes":
            return {
                "userID": person,
                "workingDate": day,
                "dailyTimeStart": "08:30:00",
                "dailyTimeEnd": "17:00:00",
                "dayType": rng.choice((0, 0, 0, 0, 1, 2, 4)),
                "halfHoliday": 0,
                "homeOffice": rng.randrange(2),
            }
        case "crmevents":
            return {
                "eventDate": day,
                "eventType": rng.randrange(4),
                "subject": rng.choice(("Anruf", "Besuch", "Angebot nachgefasst")),
                "detail": rng.choice(("", "will bis Freitag entscheiden")),
                "customerID": some("customers"),
                "contactID": some("contacts"),
                "userID": person,
                "projectID": some("projects"),
                "followUpDate": later,
                "followUpDone": 0,
            }
        case "quotations":
            net = rng.randrange(500, 9000)
            return {
                "quotationNo": f"A-{number:04d}",
                "projectID": some("projects"),
                "customerID": some("customers"),
                "addressID": some("addresses"),
                "quotationDate": day,
                "subject": rng.choice(_WORKS),
                "totalNet": f"{net}.00",
                "tax": f"{net * 0.19:.2f}",
                "totalGross": f"{net * 1.19:.2f}",
                "isSent": 0,
                "sentDate": None,
            }
        case "externalcosts":
            net = rng.randrange(40, 2000)
            return {
                "projectID": some("projects"),
                "supplierID": some("customers"),
                "documentNo": f"R{number:05d}",
                "documentDate": day,
                "receiptDate": day,
                "paymentDate": None,
                "description": rng.choice(("Druck", "Lizenz Bild", "Übersetzung")),
                "amountNet": f"{net}.50",
                "tax": f"{net * 0.19:.2f}",
            }
    raise ValueError(f"there are no rows of {resource}")


def edited(
    rng: random.Random, resource: str, row: Mapping[str, Any], number: int, now_ms: int, some: Any_
) -> dict[str, Any]:
    """What an edit changes in a row. `number` makes it differ from every edit before."""
    today = local(now_ms).date().isoformat()
    match resource:
        case "customers":
            return {"customerName": f"{str(row['customerName']).partition(' #')[0]} #{number}"}
        case "contacts":
            return {"position": f"Abteilung {number}"}
        case "addresses":
            return {"name2": f"Eingang {number}", "addressEditedByUserID": rng.choice(list(PERSONS))}
        case "projects":
            if rng.random() < 0.5:
                return {"projectStatus": (row["projectStatus"] + 1) % 5, "projectQuickInfo": f"Notiz {number}"}
            return {"projectName": f"{str(row['projectName']).partition(' #')[0]} #{number}"}
        case "projecttasks":
            changed: dict[str, Any] = {"taskEditDate": stamp(now_ms), "editedByUserID": rng.choice(list(PERSONS))}
            if rng.random() < 0.5:
                return changed | {"donePercentage": number % 100, "taskOrder": number, "done": row["done"]}
            return changed | {"taskName": f"{str(row['taskName']).partition(' #')[0]} #{number}"}
        case "projecttimes":
            if rng.random() < 0.2:
                return {"date": today, "detail": f"verschoben {number}"}
            return {"workingTime": f"{number % 40 / 4 + 0.25:.2f}", "detail": f"Stand {number}"}
        case "workingtimes":
            return {"dailyTimeEnd": f"{14 + number % 8}:{number % 60:02d}:00", "homeOffice": number % 2}
        case "crmevents":
            return {"followUpDone": 1 - row["followUpDone"], "detail": f"Stand {number}"}
        case "quotations":
            return {"isSent": 1, "sentDate": today, "subject": f"Angebot Fassung {number}"}
        case "externalcosts":
            return {"paymentDate": today, "description": f"Rechnung {number}", "supplierID": some("customers")}
    raise ValueError(f"there are no rows of {resource}")
