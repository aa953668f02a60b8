"""Configuration of a Workday tenant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from resources.core.configuration.settings import Duration, Secret, StrictModel
from resources.erp.business_days import DayOf, business_day
from resources.erp.config import SystemConfig
from resources.erp.declared import DatasetConfig, merged
from resources.erp.workday.options import Options, SoapOptions, options_of, protocol_of
from resources.erp.workday.privacy import NEVER_IN_RESPONSES, TABLE, refused_paths
from resources.transport.auth.config import ApiKeyConfig, BasicConfig

TOKENS_ONLY = ("wql", "rest")
"""Protocols that take OAuth tokens and no user and password."""


class IntegrationUser(StrictModel):
    """An Integration System User (ISU): user and password for custom reports (Basic) and SOAP (WS-Security)."""

    username: str = Field(min_length=1, max_length=200, pattern=r"^[^:\x00-\x20]+$")
    """User; `@<tenant>` is added where it is missing."""
    password: Secret
    """`${NAME}` of the environment variable with its password."""


class LargestPages(StrictModel):
    """Largest pages that a tenant gives; a smaller `http.page_size` goes before."""

    wql: int = Field(10_000, ge=1, le=1_000_000)
    """Records of a page of WQL."""
    rest: int = Field(100, ge=1, le=10_000)
    """Records of a page of REST."""
    soap: int = Field(999, ge=1, le=10_000)
    """Records of a page of SOAP."""


class WorkdayConfig(SystemConfig):
    """One Workday tenant, read by WQL, REST, custom reports (RaaS) and SOAP."""

    pulled_by_default: ClassVar[tuple[str, ...] | None] = ("cost_centers", "financial_transactions", "workforce")

    kind: Literal["workday"]
    """Kind of the system."""
    tenant: str = Field(pattern=r"^[A-Za-z0-9_\-]{1,64}$")
    """Tenant, as it stands in the addresses."""
    integration_user: IntegrationUser | None = None
    """User of custom reports and SOAP; those take the token of `auth`, too, where this is absent."""
    api_key: ApiKeyConfig | None = None
    """A static key that a gateway in front of Workday asks for, in a header beside the log-on; Workday has none."""
    largest_pages: LargestPages = Field(default_factory=LargestPages)
    """Largest page by protocol."""
    soap_version: str = Field("v43.0", pattern=r"^v\d{1,3}\.\d{1,2}$")
    """Version of the SOAP services."""
    wsdl_folder: Path | None = None
    """Folder with `<Service>.wsdl` files; GL_HOME/erp/<system>, where `gl erp describe` saves them, if absent. A file
    that is not there is read from the tenant's own host."""
    report_timeout: Duration = Field(timedelta(minutes=30), gt=timedelta(0))
    """Longest wait for a custom report, which answers when it is complete."""
    report_slice: Duration = Field(timedelta(days=1), ge=timedelta(minutes=1))
    """Changes are asked of a custom report in slices of this length: a report has no pages."""

    @model_validator(mode="before")
    @classmethod
    def _protocol_picks_declaration(cls, values: Any) -> Any:
        """Take the declaration shipped for a dataset's protocol: `cost_centers` by `soap` reads other fields."""
        given = values.get("datasets") if isinstance(values, Mapping) else None
        if not isinstance(given, Mapping):
            return values
        shipped = cls.shipped_datasets()
        return {**values, "datasets": {name: _picked(name, block, shipped) for name, block in given.items()}}

    @model_validator(mode="after")
    def _datasets_fit(self) -> Self:
        for name, declared in self.datasets.items():
            try:
                self._check(name, declared)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise ValueError(f"datasets.{name}.options.{where}: {first['msg']}") from error
            except ValueError as error:
                raise ValueError(f"datasets.{name}: {error}") from error
        return self

    def _check(self, name: str, declared: DatasetConfig) -> None:
        protocol, options = protocol_of(declared), options_of(declared)
        if protocol in TOKENS_ONLY and isinstance(self.auth, BasicConfig):
            raise ValueError(f"{protocol} takes OAuth only: set auth to refresh_token or jwt_bearer")
        if declared.expand or (declared.where and protocol != "wql"):
            raise ValueError("where is for wql alone, and expand for none: use options, which say what is asked for")
        if protocol in ("soap", "rest") and not declared.service:
            raise ValueError(f"{protocol} needs service, such as Financial_Management or staffing/v7")
        if protocol == "soap" and not declared.resource.startswith("Get_"):
            raise ValueError(f"{declared.resource!r} is not a Get_ operation: this connector only reads")
        if self.is_about_people(name, declared):
            _refuse_personal(declared, options)

    def day_of(self, dataset: str) -> DayOf:
        """Return what tells the business day: the date as it is written, in the tenant's zone as Workday takes it."""
        del dataset
        return partial(business_day, zone=None)

    @staticmethod
    def is_about_people(name: str, declared: DatasetConfig) -> bool:
        """Return whether a dataset fills the table of people: its records are kept by a list of what may be kept."""
        return (declared.table or name) == TABLE

    @property
    def isu(self) -> IntegrationUser | None:
        """The user of SOAP and custom reports, None where they take a token."""
        if self.integration_user is None and isinstance(self.auth, BasicConfig):
            return IntegrationUser(username=self.auth.username, password=self.auth.password)
        return self.integration_user

    def page_size(self, protocol: str) -> int:
        """Return how many records a page of a protocol is asked to have."""
        return min(self.http.page_size, int(getattr(self.largest_pages, protocol)))

    def full_name(self, user: IntegrationUser) -> str:
        """Return a user's name as Workday wants it: with its tenant."""
        return user.username if "@" in user.username else f"{user.username}@{self.tenant}"


def _refuse_personal(declared: DatasetConfig, options: Options) -> None:
    refused = ", ".join(refused_paths(declared))
    if refused:
        raise ValueError(f"{refused}: names, pay and other personal data stay in Workday")
    asked = options.response_group if isinstance(options, SoapOptions) else {}
    if any(asked.get(part) for part in NEVER_IN_RESPONSES):
        raise ValueError(f"response_group may not ask for {', '.join(NEVER_IN_RESPONSES)}")


def _picked(name: object, block: Any, shipped: Mapping[str, dict[str, Any]]) -> Any:
    if not isinstance(block, Mapping) or block.get("inherit") is False or "protocol" not in block:
        return block
    if block["protocol"] == shipped.get(str(name), {}).get("protocol"):
        return block
    variant = shipped.get(f"{name}_{block['protocol']}")
    return block if variant is None else {**merged(variant, dict(block)), "inherit": False}
