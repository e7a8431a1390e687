"""What the played ProSonata's resources are made of: fields, ids, filters and orders of the vendor's pages.

A field's kind says what it holds and how it may be written. `id`, `int`: a whole number, or its digits. `flag`: 0 or 1,
always a number. `hours`, `money`: a text such as "1.25", or a number. `code`: digits, or the number that they spell.
`date`, `time`, `stamp`, `text`: texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Resource:
    """One collection. `fields`: kinds by name, in the vendor's order. `dates`: fields that take > and < as filters,
    each with the second parameter that ends a range ("": none). `filters`, `sorts`: what else it can be filtered and
    what it can be sorted by. `active`: the field that hides a row where it is 0. `single`: the path of one record.
    `deletable`: whether rows vanish, in the product if not through the API.
    """

    path: str
    key: str
    fields: Mapping[str, str]
    dates: Mapping[str, str]
    filters: frozenset[str]
    sorts: frozenset[str]
    active: str = ""
    single: str = ""
    deletable: bool = True


def _resource(
    path: str, fields: str, *, dates: str = "", filters: str = "", sorts: str = "", active: str = "", single: str = ""
) -> Resource:
    kinds = dict(part.split(":") for part in fields.split())
    key = next(iter(kinds))
    ranges = {name: second for name, _, second in (part.partition("+") for part in dates.split())}
    plain = frozenset({key, *filters.split(), *([active] if active else [])})
    return Resource(path, key, kinds, ranges, plain, frozenset({key, *sorts.split()}), active, single or path)


RESOURCES: Final[Mapping[str, Resource]] = {
    resource.path: resource
    for resource in (
        _resource(
            "customers",
            "customerID:id customerNo:text customerName:text companyStatus:int hourlyRate:money",
            filters="customerName companyStatus",
            sorts="customerName",
        ),
        _resource(
            "contacts",
            "contactID:id customerID:int addressID:int salutation:text firstName:text lastName:text position:text "
            "email:text phone:text mobile:text privateStreet:text privateCity:text birthday:date "
            "contactCreationDate:stamp active:flag",
            filters="customerID lastName",
            sorts="customerID lastName",
            active="active",
        ),
        _resource(
            "addresses",
            "addressID:id customerID:int name1:text name2:text street:text houseNo:code zipCode:code city:text "
            "country:text IBAN:text BIC:text addressCreatedByUserID:int addressEditedByUserID:int addressActive:flag",
            filters="customerID name1",
            sorts="customerID name1",
            active="addressActive",
        ),
        _resource(
            "projects",
            "projectID:id projectNo:text projectName:text customerID:int contactID:int projectStatus:int "
            "financeStatus:int activeStatus:int projectDate:date projectDateEnd:date recurringProject:int "
            "userResponsibleID:int timePlanned:hours projectTags:text projectQuickInfo:text internalDepartment:int "
            "projectGroupID:int isProjectTemplate:flag createdByUserID:int",
            dates="projectDate projectDateEnd",
            filters="projectName projectStatus customerID",
            sorts="projectName projectDate projectStatus timeNeeded",
        ),
        _resource(
            "projecttasks",
            "taskID:id taskName:text taskInfo:text projectID:int userID:int taskDateStart:date taskDateEnd:date "
            "taskTimeStart:time taskTimeEnd:time timePlanned:hours recurringTask:int taskOrder:int taskPrio:int "
            "type:int read:int done:int donePercentage:int taskCreationDate:stamp taskEditDate:stamp "
            "createdByUserID:int editedByUserID:int",
            dates="taskDateStart taskDateEnd",
            filters="projectID userID done",
            sorts="taskDateEnd taskOrder done",
        ),
        _resource(
            "projecttimes",
            "timeID:id category:int date:date detail:text workingTime:hours projectID:int customerID:int userID:int "
            "linkedTaskID:int notInvoiceable:flag isInvoiced:flag workingTimeStart:time workingTimeEnd:time "
            "freeTimeInput:text timeViaApi:flag creationDate:stamp",
            dates="date+date2",
            filters="projectID userID detail isInvoiced",
            sorts="date projectID isInvoiced",
        ),
        _resource(
            "workingtimes",
            "workingTimeID:id userID:int workingDate:date dailyTimeStart:time dailyTimeEnd:time dayType:int "
            "halfHoliday:int homeOffice:int",
            dates="workingDate+workingDate2",
            filters="userID dayType",
            sorts="userID workingDate",
        ),
        _resource(
            "crmevents",
            "eventID:id eventDate:date eventType:int subject:text detail:text customerID:int contactID:int userID:int "
            "projectID:int followUpDate:date followUpDone:int",
            dates="eventDate followUpDate",
            filters="customerID userID",
            sorts="eventDate followUpDone",
            single="crmevent",
        ),
        _resource(
            "quotations",
            "quotationID:id quotationNo:text projectID:int customerID:int addressID:int quotationDate:date "
            "subject:text totalNet:money tax:money totalGross:money isSent:int sentDate:date",
            dates="quotationDate",
            filters="projectID customerID",
            sorts="quotationDate",
        ),
        _resource(
            "externalcosts",
            "documentID:id projectID:int supplierID:int documentNo:text documentDate:date receiptDate:date "
            "paymentDate:date description:text amountNet:money tax:money",
            dates="documentDate receiptDate paymentDate",
            filters="projectID supplierID",
            sorts="documentDate",
        ),
    )
}

JOINED: Final[Mapping[str, str]] = {
    "projects": "customerName timeNeeded projectCounter",
    "projecttimes": "projectNo projectName customerName categoryName username",
    "workingtimes": "username userFirstName userLastName",
    "customers": "projectCounter invoiceCounter",
}
"""What a row shows of other rows, or counts of them: no part of what it is."""
