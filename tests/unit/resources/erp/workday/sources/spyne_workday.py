"""Get_Cost_Centers and Get_Journals served by spyne: a SOAP server that shares no code with the client or the fake.

Run as a program: `python -m tests.unit.resources.erp.workday.sources.spyne_workday` prints its port and serves until it is ended.
Its WSDL is spyne's own, every request is validated against it, and the UsernameToken is read by spyne.
"""

from __future__ import annotations

import math
import sys
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from spyne import Application, ComplexModel, Date, DateTime, Decimal, Fault, ServiceBase, Unicode, XmlAttribute, XmlData
from spyne import rpc as remote
from spyne.protocol.soap import Soap11
from spyne.server.wsgi import WsgiApplication

NS = "urn:com.workday/bsvc"
USER, PASSWORD = "ISU_GL@gl_demo", "demo-workday-password"
CENTERS = [f"CC{number:03d}" for number in range(1, 26)]


def model(name: str, **members: Any) -> Any:
    """Return a complex type of the schema."""
    return ComplexModel.produce(namespace=NS, type_name=name, members=members)


def many(kind: Any) -> Any:
    return kind.customize(max_occurs="unbounded")


Identity = model("Identity", value=XmlData(Unicode), type=XmlAttribute(Unicode))
Reference = model("Reference", ID=many(Identity))
ResponseFilter = model("Response_Filter", As_Of_Entry_DateTime=DateTime, Page=Decimal, Count=Decimal)
Criteria = model("Criteria", Updated_From_Date=DateTime, Updated_To_Date=DateTime)
ResponseGroup = model("Response_Group", Include_Reference=Unicode, Include_Cost_Center_Data=Unicode)
ResponseResults = model(
    "Response_Results", Total_Results=Decimal, Total_Pages=Decimal, Page_Results=Decimal, Page=Decimal
)
OrganizationData = model("Organization_Data", ID=Unicode, Organization_Name=Unicode, Availability_Date=Date)
CostCenterData = model("Cost_Center_Data", Organization_Data=OrganizationData)
CostCenter = model("Cost_Center", Cost_Center_Reference=Reference, Cost_Center_Data=CostCenterData)
ResponseData = model("Response_Data", Cost_Center=many(CostCenter))
CostCentersRequest = model(
    "Get_Cost_Centers_RequestType",
    Request_Criteria=Criteria,
    Response_Filter=ResponseFilter,
    Response_Group=ResponseGroup,
    version=XmlAttribute(Unicode),
)
CostCentersResponse = model(
    "Get_Cost_Centers_ResponseType", Response_Results=ResponseResults, Response_Data=ResponseData
)


class FinancialManagement(ServiceBase):
    @remote(
        CostCentersRequest,
        _returns=CostCentersResponse,
        _body_style="bare",
        _operation_name="Get_Cost_Centers",
        _out_message_name=f"{{{NS}}}Get_Cost_Centers_Response",
    )
    def Get_Cost_Centers(ctx: Any, request: Any) -> Any:  # noqa: N802, N805 - spyne names it so, and gives a context
        header = "".join("".join(part.itertext()) for part in ctx.in_header_doc or ())
        if USER not in header or PASSWORD not in header:
            raise Fault("Client.validationError", "invalid username or password")
        page, count = int(request.Response_Filter.Page), int(request.Response_Filter.Count)
        if request.Response_Filter.As_Of_Entry_DateTime.tzinfo is None:
            raise Fault("Client.validationError", "As_Of_Entry_DateTime has no zone")
        sent = CENTERS[(page - 1) * count : page * count]
        results = ResponseResults(
            Total_Results=len(CENTERS), Total_Pages=math.ceil(len(CENTERS) / count), Page_Results=len(sent), Page=page
        )
        return CostCentersResponse(
            Response_Results=results, Response_Data=ResponseData(Cost_Center=[_cost_center(code) for code in sent])
        )


def _cost_center(code: str) -> Any:
    identities = [Identity(value=f"wid-{code}", type="WID"), Identity(value=code, type="Cost_Center_Reference_ID")]
    return CostCenter(
        Cost_Center_Reference=Reference(ID=identities),
        Cost_Center_Data=CostCenterData(
            Organization_Data=OrganizationData(ID=code, Organization_Name=f"Center <{code}> & more ÄÖÜ")
        ),
    )


class Silent(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    application = Application(
        [FinancialManagement],
        NS,
        name="Financial_Management",
        in_protocol=Soap11(validator="lxml"),
        out_protocol=Soap11(),
    )
    server = make_server("127.0.0.1", 0, WsgiApplication(application), handler_class=Silent)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
