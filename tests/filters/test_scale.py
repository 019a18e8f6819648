import pytest

from gateway.filters.contract import Flow
from gateway.filters.scale import Scale, scale_of
from gateway.quantities import registry


@pytest.mark.parametrize(
    ("quantity", "scale"),
    [
        ("wind.direction", "circle"),
        ("noise.laeq", "level"),
        ("air.pm25", "plain"),
        ("site.latitude", "plain"),
        ("site.longitude", "plain"),
    ],
)
def test_a_place_is_no_direction(quantity: str, scale: Scale) -> None:
    assert scale_of(Flow(quantity, "gauge", registry()[quantity].ucum)) == scale


def test_an_unknown_quantity_in_degrees_is_a_direction() -> None:
    assert scale_of(Flow("lab.own", "gauge", "deg")) == "circle"
