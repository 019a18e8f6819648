"""The catalogue keeps the rules of DCAT-AP 3.0.1: the official SHACL shapes say so."""

import json
from pathlib import Path

import pyshacl
import pytest
import rdflib

from gateway.cli import main
from tests.shared_material import shared

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:rdflib", "ignore::DeprecationWarning:pyshacl"
)

FOLDER = Path(__file__).parent / "describe"
SHAPES = shared("schemas", "dcat-ap", "html-shacl", "shapes.ttl")
DCAT = rdflib.Namespace("http://www.w3.org/ns/dcat#")
RIGHTS = rdflib.URIRef("http://purl.org/dc/terms/accessRights")
AUTHORITY = "http://publications.europa.eu/resource/authority/access-right/"

CATALOGUE = """
[catalogue]
title = "Havnen"
description = "Luft og trafik."
publisher = "Aarhus City Lab"
contact = "citylab@example.org"
licence = "http://publications.europa.eu/resource/authority/licence/CC_BY_4_0"
language = "da"
hvd_categories = ["http://data.europa.eu/bna/c_dd313021"]
"""


def catalogue(capsys: pytest.CaptureFixture[str], config: Path) -> rdflib.Graph:
    assert main(["describe", "--config", str(config), "--dcat"]) == 0
    text = capsys.readouterr().out
    json.loads(text)
    return rdflib.Graph().parse(data=text, format="json-ld")


def assert_conforms(graph: rdflib.Graph) -> None:
    conforms, _, words = pyshacl.validate(graph, shacl_graph=str(SHAPES), advanced=True)
    assert conforms, words


@pytest.mark.skipif(SHAPES is None, reason="the SHACL shapes of DCAT-AP are not there")
@pytest.mark.timeout(60)
def test_it_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    graph = catalogue(capsys, FOLDER / "dokk1.toml")
    assert_conforms(graph)
    assert len(list(graph.subjects(rdflib.RDF.type, DCAT.Dataset))) == 4
    broken = rdflib.Graph()
    for triple in graph:
        if triple[1] != DCAT.endpointURL:
            broken.add(triple)
    assert not pyshacl.validate(broken, shacl_graph=str(SHAPES), advanced=True)[0]


@pytest.mark.skipif(SHAPES is None, reason="the SHACL shapes of DCAT-AP are not there")
@pytest.mark.timeout(60)
def test_high_value_data_in_every_format_conform(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.toml"
    text = (FOLDER / "every_format.toml").read_text(encoding="utf-8")
    path.write_text(text + CATALOGUE, encoding="utf-8")
    graph = catalogue(capsys, path)
    assert_conforms(graph)
    laws = rdflib.URIRef("http://data.europa.eu/r5r/applicableLegislation")
    assert set(graph.subjects(laws)) == set(graph.subjects(rdflib.RDF.type, DCAT.Dataset))


def test_only_what_goes_to_an_open_broker_is_called_public(
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph = catalogue(capsys, FOLDER / "dokk1.toml")
    rights = {str(subject): str(right) for subject, right in graph.subject_objects(RIGHTS)}
    assert len(rights) == 6
    for subject, right in rights.items():
        word = "PUBLIC" if ":portal" in subject else "RESTRICTED"
        assert right == AUTHORITY + word
