"""A DCAT-AP 3.0.1 catalogue in JSON-LD: one data set for each broker and domain.

Only P0 and P1 are in it (PRIV-08). The context is inline, so that nothing has to be fetched to
read it. Rules: SEMIC DCAT-AP 3.0.1, checked against its SHACL shapes.
"""

from dataclasses import replace
from typing import Any

from gateway.cli.describe.channels import channels
from gateway.cli.describe.leaving import Leaving, Outgoing
from gateway.config.model import CatalogueSection, Configuration
from gateway.config.units import duration_text
from gateway.errors import ConfigError, ConfigErrors
from gateway.reading import Series

__all__ = ["dcat", "require"]

NEEDED = ("title", "description", "publisher", "contact", "licence")
CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcatap": "http://data.europa.eu/r5r/",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
AUTHORITY = "http://publications.europa.eu/resource/authority"
CONTINUOUSLY = f"{AUTHORITY}/frequency/UPDATE_CONT"
WKT = "http://www.opengis.net/ont/geosparql#wktLiteral"
LANGUAGES = {
    "da": "DAN",
    "de": "DEU",
    "en": "ENG",
    "es": "SPA",
    "fi": "FIN",
    "fr": "FRA",
    "nl": "NLD",
    "no": "NOR",
    "sv": "SWE",
}
THEMES = {
    "air": ("ENVI", "Environment"),
    "traffic": ("TRAN", "Transport"),
    "energy": ("ENER", "Energy"),
    "site": ("REGI", "Regions and cities"),
}
"""Domain of a driver -> theme of the EU vocabulary, and its English name there."""
HIGH_VALUE_LAW = "http://data.europa.eu/eli/reg_impl/2023/138/oj"
MEDIA_TYPES = "http://www.iana.org/assignments/media-types"
UNKNOWN_MEDIA_TYPE = "application/octet-stream"
PUBLISHABLE = ("P0", "P1")


def require(catalogue: CatalogueSection, keys: tuple[str, ...], what: str) -> None:
    """Raise ConfigErrors that name every key of ``[catalogue]`` that is missing for ``what``."""
    missing = [key for key in keys if not getattr(catalogue, key)]
    if missing:
        raise ConfigErrors(
            [ConfigError(f"is missing; {what} needs it", key=f"catalogue.{key}") for key in missing]
        )


def dcat(configuration: Configuration, leavings: list[Leaving]) -> dict[str, Any]:
    """Return the catalogue. Raises ConfigErrors if [catalogue] does not say enough."""
    catalogue = configuration.catalogue
    require(catalogue, NEEDED, "the catalogue")
    base = f"urn:citylab:{configuration.gateway.tenant}:{configuration.gateway.id}"
    services = [_service(catalogue, each, f"{base}:{each.broker.name}") for each in leavings]
    datasets = [
        _dataset(catalogue, leaving, domain, sensors, base)
        for leaving in leavings
        for domain, sensors in _publishable(leaving).items()
    ]
    return {
        "@context": CONTEXT,
        "@graph": [
            {
                "@id": f"{base}:catalogue",
                "@type": "dcat:Catalog",
                "dct:title": _text(catalogue, catalogue.title),
                "dct:description": _text(catalogue, catalogue.description),
                "dct:publisher": _publisher(catalogue),
                "dct:language": _language(catalogue),
                "dct:license": _licence(catalogue),
                "dcat:dataset": [{"@id": each["@id"]} for each in datasets],
                "dcat:service": [{"@id": each["@id"]} for each in services],
            },
            *datasets,
            *services,
        ],
    }


def _publishable(leaving: Leaving) -> dict[str, list[Outgoing]]:
    """Return the sensors of which something may be published, by domain."""
    carried = channels(leaving).carried
    found: dict[str, list[Outgoing]] = {}
    for each in leaving.sensors:
        series = tuple(one for one in each.series if one.id in carried)
        if series and each.facts.privacy in PUBLISHABLE and each.facts.domain in THEMES:
            found.setdefault(each.facts.domain, []).append(replace(each, series=series))
    return found


def _dataset(
    catalogue: CatalogueSection,
    leaving: Leaving,
    domain: str,
    sensors: list[Outgoing],
    base: str,
) -> dict[str, Any]:
    name = f"{base}:{leaving.broker.name}:{domain}"
    series = [one for each in sensors for one in each.series]
    words = [*catalogue.keywords, domain, *(one.key.quantity for one in series)]
    resolution_s = min(max(each.facts.interval_s, each.terms.min_interval_s) for each in sensors)
    dataset: dict[str, Any] = {
        "@id": name,
        "@type": "dcat:Dataset",
        "dct:identifier": name,
        "dct:title": _text(catalogue, f"{catalogue.title}: {domain}"),
        "dct:description": _text(catalogue, f"{catalogue.description} {_measured(series)}"),
        "dct:publisher": _publisher(catalogue),
        "dcat:contactPoint": _contact(catalogue),
        "dcat:keyword": [_text(catalogue, word) for word in dict.fromkeys(words)],
        "dcat:theme": _theme(domain),
        "dct:language": _language(catalogue),
        "dct:accessRights": _rights(leaving),
        "dct:accrualPeriodicity": {"@id": CONTINUOUSLY, "@type": "dct:Frequency"},
        "dcat:temporalResolution": {"@value": f"PT{resolution_s:g}S", "@type": "xsd:duration"},
        "dct:spatial": _places(leaving, sensors),
        "dcat:distribution": _distribution(catalogue, leaving, f"{name}:mqtt", base),
    }
    if catalogue.hvd_categories:
        dataset["dcatap:applicableLegislation"] = {
            "@id": HIGH_VALUE_LAW,
            "@type": "http://data.europa.eu/eli/ontology#LegalResource",
        }
        dataset["dcatap:hvdCategory"] = [{"@id": each} for each in catalogue.hvd_categories]
    return {key: value for key, value in dataset.items() if value}


def _measured(series: list[Series]) -> str:
    words = dict.fromkeys(f"{each.key.quantity} ({each.unit})" for each in series)
    return f"Measured: {', '.join(words)}."


def _places(leaving: Leaving, sensors: list[Outgoing]) -> list[dict[str, Any]]:
    """Return where the sensors are, as precisely as the broker may know."""
    places = [leaving.context.location_of(each.section.name) for each in sensors]
    points = dict.fromkeys(f"POINT({each.lon} {each.lat})" for each in places if each is not None)
    return [
        {"@type": "dct:Location", "dcat:centroid": {"@value": point, "@type": WKT}}
        for point in points
    ]


def _distribution(
    catalogue: CatalogueSection, leaving: Leaving, name: str, base: str
) -> dict[str, Any]:
    broker = leaving.broker
    media_type = _media_type(leaving)
    return {
        "@id": name,
        "@type": "dcat:Distribution",
        "dct:title": _text(catalogue, f"MQTT, format {broker.format}"),
        "dcat:accessURL": _resource(broker.url),
        "dcat:accessService": {"@id": f"{base}:{broker.name}"},
        "dcat:mediaType": {"@id": f"{MEDIA_TYPES}/{media_type}", "@type": "dct:MediaType"},
        "dct:license": _licence(catalogue),
        "dct:conformsTo": {"@id": leaving.format.schema, "@type": "dct:Standard"},
    }


def _media_type(leaving: Leaving) -> str:
    """Return what the format calls its own data messages."""
    kinds = (s.message.content_type for s in channels(leaving).samples if s.kind == "data")
    return next(filter(None, kinds), UNKNOWN_MEDIA_TYPE).partition(";")[0]


def _service(catalogue: CatalogueSection, leaving: Leaving, name: str) -> dict[str, Any]:
    broker = leaving.broker
    expiry = broker.message_expiry
    kept = "" if expiry is None else f" Messages wait for {duration_text(expiry)} at most."
    return {
        "@id": name,
        "@type": "dcat:DataService",
        "dct:title": _text(catalogue, f"MQTT broker {broker.name}"),
        "dct:description": _text(
            catalogue, f"MQTT {broker.protocol}; the topics stand in the AsyncAPI document.{kept}"
        ),
        "dcat:endpointURL": _resource(broker.url),
        "dct:publisher": _publisher(catalogue),
        "dcat:contactPoint": _contact(catalogue),
        "dct:license": _licence(catalogue),
        "dct:accessRights": _rights(leaving),
    }


def _text(catalogue: CatalogueSection, text: str) -> dict[str, str]:
    return {"@value": text, "@language": catalogue.language}


def _language(catalogue: CatalogueSection) -> dict[str, str]:
    name = f"{AUTHORITY}/language/{LANGUAGES[catalogue.language]}"
    return {"@id": name, "@type": "dct:LinguisticSystem"}


def _resource(iri: str) -> dict[str, str]:
    return {"@id": iri, "@type": "rdfs:Resource"}


def _theme(domain: str) -> dict[str, Any]:
    code, name = THEMES[domain]
    return {
        "@id": f"{AUTHORITY}/data-theme/{code}",
        "@type": "skos:Concept",
        "skos:prefLabel": {"@value": name, "@language": "en"},
    }


def _rights(leaving: Leaving) -> dict[str, str]:
    name = "PUBLIC" if leaving.broker.open else "RESTRICTED"
    return {"@id": f"{AUTHORITY}/access-right/{name}", "@type": "dct:RightsStatement"}


def _licence(catalogue: CatalogueSection) -> dict[str, str]:
    return {"@id": catalogue.licence, "@type": "dct:LicenseDocument"}


def _publisher(catalogue: CatalogueSection) -> dict[str, Any]:
    agent: dict[str, Any] = {
        "@type": "foaf:Agent",
        "foaf:name": _text(catalogue, catalogue.publisher),
    }
    if catalogue.publisher_url:
        agent["@id"] = catalogue.publisher_url
        agent["foaf:homepage"] = {"@id": catalogue.publisher_url, "@type": "foaf:Document"}
    return agent


def _contact(catalogue: CatalogueSection) -> dict[str, Any]:
    return {
        "@type": "vcard:Kind",
        "vcard:fn": catalogue.publisher,
        "vcard:hasEmail": {"@id": f"mailto:{catalogue.contact}"},
    }
