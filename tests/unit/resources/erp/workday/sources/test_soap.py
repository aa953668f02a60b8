"""SOAP as the client asks for it and reads it: one moment for all pages, faults, WSDLs from where they may come."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from resources.core.clock import ManualClock
from resources.core.errors import AuthError, ConfigError, ProtocolError
from resources.core.process.home import gl_home
from resources.erp.connector import Changed, Day, Whole
from resources.erp.workday.client import WorkdayClient
from resources.erp.workday.sources.pruning import pruned
from tests.unit.resources.erp.workday.pulling import pull
from tests.unit.resources.erp.workday.support import DAY, NOW, WSDLS, WorkdayServer

WD = {"wd": "urn:com.workday/bsvc"}


def requests(workday: WorkdayServer) -> list[etree._Element]:
    """Return the envelopes seen."""
    return [etree.fromstring(seen[seen.index("<?xml") :].encode()) for seen in workday.control.seen if "<?xml" in seen]


def test_all_pages_when_read_are_of_one_moment(workday: WorkdayServer) -> None:
    workday.control.seen.clear()
    clock = ManualClock(NOW + timedelta(days=3))
    found = []
    with WorkdayClient("wd", workday.config(), clock=clock) as client:
        for page in client.fetch("financial_transactions", Day(DAY)):
            found += page.records
            clock.advance(600)
    asked = requests(workday)
    moments = {one.findtext(".//wd:As_Of_Entry_DateTime", namespaces=WD) for one in asked}
    assert [one.findtext(".//wd:Page", namespaces=WD) for one in asked] == ["1", "2"]
    assert len(moments) == 1
    assert len(found) == len(workday.keys("financial_transactions", DAY))


def test_a_journal_when_entered_between_two_pages_moves_no_other(workday: WorkdayServer) -> None:
    before = workday.keys("financial_transactions", DAY)
    clock = ManualClock(NOW)
    # what is entered now is entered after the moment that the pages are of
    workday.book.clock.advance(5)  # type: ignore[attr-defined]
    try:
        with WorkdayClient("wd", workday.config(), clock=clock) as client:
            pages = client.fetch("financial_transactions", Day(DAY))
            found = list(next(pages).records)
            workday.book.enter("JE-00000000-0000", {"accounting_date": DAY.isoformat()})
            found += [record for page in pages for record in page.records]
    finally:
        workday.book.clock.advance(-5)  # type: ignore[attr-defined]
    keys = [
        f"{record['parent']['Journal_Entry_Reference']['WID']}/{record['Journal_Line_Number']}"
        for record in map(json.loads, found)
    ]
    assert len(keys) == len(set(keys))
    assert set(keys) == before


def test_a_page_when_asked_for_is_no_larger_than_the_tenant_gives(workday: WorkdayServer) -> None:
    pull(workday.config(http={"page_size": 5000}), "financial_transactions", Day(DAY))
    assert requests(workday)[-1].findtext(".//wd:Count", namespaces=WD) == "999"
    with pytest.raises(ProtocolError, match="Invalid Count: the maximum is 999"):
        pull(workday.config(http={"page_size": 5000}, largest_pages={"soap": 2000}), "financial_transactions", Day(DAY))


def test_a_request_when_written_has_version_criteria_and_group_by_the_wsdl(workday: WorkdayServer) -> None:
    pull(workday.config(), "financial_transactions", Day(DAY))
    body = requests(workday)[-1].find(".//wd:Get_Journals_Request", WD)
    assert body is not None
    assert body.get("{urn:com.workday/bsvc}version") == "v43.0"
    criteria = body.find("wd:Request_Criteria", WD)
    assert criteria is not None
    assert [etree.QName(child).localname for child in criteria] == [
        "Accounting_From_Date", "Accounting_To_Date", "Status_Reference",
    ]  # fmt: skip
    identity = criteria.find("wd:Status_Reference/wd:ID", WD)
    assert identity is not None
    assert (identity.get("{urn:com.workday/bsvc}type"), identity.text) == ("Journal_Entry_Status_ID", "POSTED")
    assert body.findtext("wd:Response_Group/wd:Include_Attachment_Data", namespaces=WD) == "false"


def test_a_validation_fault_when_sent_is_told_in_workdays_words(workday: WorkdayServer) -> None:
    workday.control.misbehave("validation_fault")
    with pytest.raises(ProtocolError) as met:
        pull(workday.config(), "financial_transactions", Day(DAY))
    assert str(met.value) == (
        "wd: Get_Journals for financial_transactions of 2026-11-18: Workday says: Client.validationError: Invalid ID "
        "value. 'CC9' is not a valid ID value for Cost_Center; correct options of the dataset "
        "(page 1 of Get_Journals for financial_transactions of 2026-11-18)"
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Get_Journals_Response", "Put_Journals_Response", "page 1 of .* is without Get_Journals_Response"),
        ("Total_Pages", "Pages_In_All", "is without Response_Results/Total_Pages"),
        ("<wd:Total_Pages>2<", "<wd:Total_Pages>two<", "is with a Response_Results/Total_Pages that is no number"),
        ("Get_Journals_Response", "Fault", "Workday says: *; see the tenant's integration log"),
    ],
    ids=["another-operation", "no-pages", "no-number", "fault-with-status-200"],
)
def test_an_answer_when_it_is_not_what_was_asked_for_is_told(
    workday: WorkdayServer, old: str, new: str, words: str
) -> None:
    workday.control.metadata_changes[old] = new
    with pytest.raises(ProtocolError, match=words):
        pull(workday.config(), "financial_transactions", Day(DAY))


def test_an_answer_when_it_counts_more_than_it_sent_is_an_error(workday: WorkdayServer) -> None:
    workday.control.metadata_changes["<wd:Total_Results>8<"] = "<wd:Total_Results>9<"
    with pytest.raises(ProtocolError, match="the server counted 9 records but sent 8"):
        pull(workday.config(), "financial_transactions", Day(DAY))


def test_a_fault_when_it_is_cut_off_is_told_as_what_it_is(workday: WorkdayServer) -> None:
    workday.control.metadata_changes["Get_Journals_Response"] = "Fault & more"
    with pytest.raises(ProtocolError, match=r"Get_Journals for financial_transactions of .* the answer is not XML"):
        pull(workday.config(), "financial_transactions", Day(DAY))


def test_a_record_when_it_is_nested_too_deep_is_refused(workday: WorkdayServer) -> None:
    deep = "<wd:A>" * 1500 + "</wd:A>" * 1500
    workday.control.metadata_changes["<wd:Journal_Entry_Data>"] = f"{deep}<wd:Journal_Entry_Data>"
    with pytest.raises(ProtocolError, match="is nested too deep"):
        pull(workday.config(), "financial_transactions", Day(DAY))


def test_a_record_when_it_is_empty_explodes_to_nothing(workday: WorkdayServer) -> None:
    workday.control.metadata_changes["wd:Journal_Entry_Line_Data"] = "wd:Lines"
    assert pull(workday.config(), "financial_transactions", Day(DAY)) == []


def test_a_task_when_not_authorized_names_what_to_grant(workday: WorkdayServer) -> None:
    workday.control.misbehave("processing_fault")
    with pytest.raises(AuthError, match="not authorized.*granted to the integration user's security group"):
        pull(workday.config(), "financial_transactions", Day(DAY))


def test_entities_when_declared_in_an_answer_are_refused(workday: WorkdayServer) -> None:
    workday.control.misbehave("entities")
    with pytest.raises(ProtocolError, match="document type, which may declare entities without end"):
        pull(workday.config(), "financial_transactions", Day(DAY))


def test_a_wsdl_when_no_file_is_there_comes_from_the_tenants_host(workday: WorkdayServer, tmp_path: Path) -> None:
    config = workday.config(wsdl_folder=str(tmp_path))
    assert pull(config, "financial_transactions", Day(DAY))
    assert any("/Financial_Management/v43.0?wsdl" in seen for seen in workday.control.seen)


def test_a_wsdl_when_saved_by_describe_is_found_under_the_home(workday: WorkdayServer) -> None:
    folder = gl_home() / "erp" / "wd"
    folder.mkdir(parents=True)
    (folder / "Financial_Management.wsdl").write_bytes((WSDLS / "Financial_Management.wsdl").read_bytes())
    workday.control.seen.clear()
    assert pull(workday.config(wsdl_folder=None), "financial_transactions", Day(DAY))
    assert not any("?wsdl" in seen for seen in workday.control.seen)


def test_a_wsdl_when_it_imports_from_another_host_is_refused(workday: WorkdayServer, tmp_path: Path) -> None:
    workday.control.misbehave("foreign_import")
    with pytest.raises(
        ProtocolError, match=r"WSDL of Financial_Management cannot be used.*other-host.invalid.*nothing"
    ):
        pull(workday.config(wsdl_folder=str(tmp_path)), "financial_transactions", Day(DAY))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>no wsdl</html>", "cannot be used"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", "document type"),
        (b"<wsdl:definitions", "not XML"),
    ],
    ids=["html", "doctype", "cut"],
)
def test_a_file_when_it_is_no_wsdl_is_told(workday: WorkdayServer, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "Financial_Management.wsdl").write_bytes(content)
    with pytest.raises(ProtocolError, match=words):
        pull(workday.config(wsdl_folder=str(tmp_path)), "financial_transactions", Day(DAY))


def test_a_wsdl_when_it_is_large_is_read_for_what_is_called_alone(workday: WorkdayServer, tmp_path: Path) -> None:
    wsdl = (WSDLS / "Financial_Management.wsdl").read_text()
    chain = "".join(
        f'<xsd:complexType name="T{n}"><xsd:sequence><xsd:element name="E" type="wd:T{n + 1}"/></xsd:sequence>'
        "</xsd:complexType>"
        for n in range(5000)
    )
    first = '<xsd:complexType name="Get_Cost_Centers_RequestType">'
    (tmp_path / "Financial_Management.wsdl").write_text(wsdl.replace(first, chain + first))
    assert pull(workday.config(wsdl_folder=str(tmp_path)), "financial_transactions", Day(DAY))
    kept = pruned(wsdl.encode(), ["Get_Journals"])
    assert b"Get_Journals_RequestType" in kept
    assert b"CurrencyReferenceEnumeration" in kept
    assert b"Workday_Common_HeaderType" in kept
    assert not any(word in kept for word in (b"Get_Cost_Centers", b"Organization_DataType", b"Fault"))


def test_a_wsdl_when_what_is_called_is_nested_without_end_is_told(workday: WorkdayServer, tmp_path: Path) -> None:
    wsdl = (WSDLS / "Financial_Management.wsdl").read_text()
    chain = "".join(
        f'<xsd:complexType name="T{n}"><xsd:sequence><xsd:element name="E" type="wd:T{n + 1}"/></xsd:sequence>'
        "</xsd:complexType>"
        for n in range(5000)
    )
    first = '<xsd:complexType name="Get_Cost_Centers_RequestType">'
    text = wsdl.replace(first, chain + first).replace('name="Memo" type="xsd:string"', 'name="Memo" type="wd:T0"')
    (tmp_path / "Financial_Management.wsdl").write_text(text)
    with pytest.raises(ProtocolError, match="WSDL of Financial_Management cannot be used"):
        pull(workday.config(wsdl_folder=str(tmp_path)), "financial_transactions", Day(DAY))


def test_a_wsdl_when_it_cannot_be_read_is_a_config_error(workday: WorkdayServer, tmp_path: Path) -> None:
    (tmp_path / "Financial_Management.wsdl").mkdir()
    with pytest.raises(ConfigError, match=r"Financial_Management.wsdl: cannot be read"):
        pull(workday.config(wsdl_folder=str(tmp_path)), "financial_transactions", Day(DAY))


def test_criteria_when_the_wsdl_lacks_them_are_a_config_error(workday: WorkdayServer) -> None:
    datasets = {"financial_transactions": {"options": {"always": {"Journal_Sorce": "x"}}}}
    with pytest.raises(ConfigError, match=r"do not fit the WSDL.*Journal_Sorce.*gl erp describe wd"):
        pull(workday.config(datasets=datasets), "financial_transactions", Day(DAY))


def test_an_operation_when_the_wsdl_lacks_it_is_a_config_error(workday: WorkdayServer) -> None:
    datasets = {"financial_transactions": {"resource": "Get_Budgets"}}
    with pytest.raises(ConfigError, match=r"has no operation Get_Budgets; it may be of another soap_version"):
        pull(workday.config(datasets=datasets), "financial_transactions", Day(DAY))


def test_a_part_when_no_criteria_are_declared_for_it_is_refused(workday: WorkdayServer) -> None:
    datasets = {"financial_transactions": {"options": {"changed": None}}}
    with pytest.raises(ConfigError, match=r"set options.changed"):
        pull(workday.config(datasets=datasets), "financial_transactions", Changed(NOW - timedelta(days=1), NOW))


def test_the_address_in_a_wsdl_when_it_is_elsewhere_is_not_followed(workday: WorkdayServer) -> None:
    # the saved file names https://workday.example; the requests go where http.base_url says
    assert b"https://workday.example/" in (WSDLS / "Financial_Management.wsdl").read_bytes()
    assert pull(workday.config(datasets={"cost_centers": {"protocol": "soap"}}), "cost_centers", Whole())
