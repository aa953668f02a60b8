"""`$metadata` of the fake SAP: EDMX 4.0 for OData V4, EDMX 1.0 with SAP's annotations for V2."""

from __future__ import annotations

from resources.demo_plant.erp.sap.odata.schema import EntityType, Kind, Service

_V2_TYPES: dict[Kind, str] = {
    "Date": 'Edm.DateTime" Precision="0" sap:display-format="Date',
    "TimeOfDay": 'Edm.Time" Precision="0',
    "DateTimeOffset": 'Edm.DateTimeOffset" Precision="7',
    "Decimal": 'Edm.Decimal" Precision="15" Scale="3',
}


def metadata(service: Service) -> str:
    """Return the metadata document of a service."""
    return _v4(service) if service.version == 4 else _v2(service)


def _namespace(service: Service) -> str:
    return service.name.lower() if service.version == 4 else service.name


def _v4(service: Service) -> str:
    space = f"com.demo_plant.fake.{_namespace(service)}"
    types = "".join(_type_v4(held.type, space) for held in service.sets.values())
    sets = "".join(
        f'<EntitySet Name="{name}" EntityType="{space}.{held.type.name}"/>' for name, held in service.sets.items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        f'<Schema Namespace="{space}" Alias="SAP__self" xmlns="http://docs.oasis-open.org/odata/ns/edm">{types}'
        f'<EntityContainer Name="Container">{sets}</EntityContainer>{_restrictions(service, space)}</Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    )


def _restrictions(service: Service, space: str) -> str:
    """Return the annotations that say what cannot be filtered by."""
    return "".join(
        f'<Annotations Target="{space}.Container/{name}"><Annotation Term="SAP__capabilities.FilterRestrictions">'
        '<Record><PropertyValue Property="NonFilterableProperties"><Collection>'
        + "".join(f"<PropertyPath>{path}</PropertyPath>" for path in sorted(held.type.unfilterable))
        + "</Collection></PropertyValue></Record></Annotation></Annotations>"
        for name, held in service.sets.items()
        if held.type.unfilterable
    )


def _type_v4(entity: EntityType, space: str) -> str:
    rows = "".join(
        f'<Property Name="{name}" Type="Edm.{kind}"{_nullable(name, entity)}/>'
        for name, kind in entity.properties.items()
    )
    ways = "".join(
        f'<NavigationProperty Name="{name}" Type="Collection({space}.{way.target})"/>'
        for name, way in entity.navigations.items()
    )
    return f'<EntityType Name="{entity.name}">{_key(entity)}{rows}{ways}</EntityType>'


def _v2(service: Service) -> str:
    space = _namespace(service)
    types = "".join(_type_v2(held.type, space) for held in service.sets.values())
    types += "".join(_associations(held.type, space) for held in service.sets.values())
    sets = "".join(
        f'<EntitySet Name="{name}" EntityType="{space}.{held.type.name}" sap:content-version="1"/>'
        for name, held in service.sets.items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" '
        'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" '
        'xmlns:sap="http://www.sap.com/Protocols/SAPData"><edmx:DataServices m:DataServiceVersion="2.0">'
        f'<Schema Namespace="{space}" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">{types}'
        f'<EntityContainer Name="{space}_Entities" m:IsDefaultEntityContainer="true">{sets}</EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )


def _type_v2(entity: EntityType, space: str) -> str:
    rows = "".join(
        f'<Property Name="{name}" Type="{_V2_TYPES.get(kind, f"Edm.{kind}")}"{_nullable(name, entity)} '
        f'sap:label="{name}"{_filterable(name, entity)}/>'
        for name, kind in entity.properties.items()
    )
    ways = "".join(
        f'<NavigationProperty Name="{name}" Relationship="{space}.{entity.name}_{name}" FromRole="From" ToRole="To"/>'
        for name in entity.navigations
    )
    return f'<EntityType Name="{entity.name}" sap:content-version="1">{_key(entity)}{rows}{ways}</EntityType>'


def _associations(entity: EntityType, space: str) -> str:
    return "".join(
        f'<Association Name="{entity.name}_{name}" sap:content-version="1">'
        f'<End Type="{space}.{entity.name}" Multiplicity="1" Role="From"/>'
        f'<End Type="{space}.{way.target}" Multiplicity="*" Role="To"/></Association>'
        for name, way in entity.navigations.items()
    )


def _key(entity: EntityType) -> str:
    return "<Key>" + "".join(f'<PropertyRef Name="{name}"/>' for name in entity.key) + "</Key>"


def _nullable(name: str, entity: EntityType) -> str:
    return ' Nullable="false"' if name in entity.key else ""


def _filterable(name: str, entity: EntityType) -> str:
    return ' sap:filterable="false"' if name in entity.unfilterable else ""
