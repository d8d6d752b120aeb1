"""Pixel ranges: against their definitions, over every byte and over arbitrary floats."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dipddpm_utils import ranges

BYTES = torch.arange(256, dtype=torch.uint8)


def test_every_byte_survives_the_way_there_and_back():
    for there, back in ((ranges.uint8_to_signed, ranges.signed_to_uint8), (ranges.uint8_to_unit, ranges.unit_to_uint8)):
        assert torch.equal(back(there(BYTES)), BYTES) and torch.equal(back(there(BYTES).double()), BYTES)
        assert there(BYTES).dtype == torch.float32


def test_ends_and_the_two_float_ranges_agree():
    assert ranges.uint8_to_signed(BYTES)[[0, 255]].tolist() == [-1, 1]
    assert ranges.uint8_to_unit(BYTES)[[0, 255]].tolist() == [0, 1]
    unit, signed = BYTES.double() / 255, BYTES.double() / 127.5 - 1
    assert (ranges.unit_to_signed(unit) - signed).abs().max() < 1e-15
    assert (ranges.signed_to_unit(signed) - unit).abs().max() < 1e-15
    assert torch.equal(ranges.uint8_to_unit(BYTES), unit.float())
    assert (ranges.uint8_to_signed(BYTES) - signed).abs().max() < 1e-7  # rounded twice


@given(st.floats(-1e6, 1e6, width=32))
def test_to_uint8_takes_the_nearest_level_and_clamps(value):
    level = ranges.signed_to_uint8(torch.tensor([value])).item()
    assert abs(level - min(max((value + 1) * 127.5, 0), 255)) <= 0.5 + 1e-4
    assert (
        ranges.unit_to_uint8(torch.tensor([value])).item() == round(min(max(value, 0), 1) * 255)
        or abs(value * 255 % 1 - 0.5) < 1e-3
    )


def test_infinity_is_clamped_and_nan_refused():
    assert ranges.signed_to_uint8(torch.tensor([-torch.inf, torch.inf])).tolist() == [0, 255]
    with pytest.raises(ValueError, match="x holds NaN"):
        ranges.signed_to_uint8(torch.tensor([0.0, torch.nan]))


def test_conversions_refuse_the_wrong_type():
    with pytest.raises(ValueError, match="x is torch.float32, expected torch.uint8"):
        ranges.uint8_to_signed(torch.zeros(2))
    with pytest.raises(ValueError, match="x is torch.uint8, expected floats"):
        ranges.unit_to_uint8(BYTES)


@pytest.mark.parametrize(
    "images",
    [torch.tensor([-1.1, 0]), torch.tensor([0, 1.01]), torch.tensor([0, torch.nan]), BYTES, 0 * BYTES],
    ids=["low", "high", "nan", "bytes", "black bytes"],
)
def test_check_signed_names_its_argument_in_one_line(images):
    with pytest.raises(ValueError, match=r"^photos (has|is) [^\n]*expected (floats in )?\[-1, 1\][^\n]*ranges\.\w+[^\n]*$"):
        ranges.check_signed(images, "photos")


def test_checks_accept_what_they_should():
    ranges.check_signed(ranges.uint8_to_signed(BYTES), "x")
    ranges.check_signed(torch.tensor([1 + 1e-6, -1 - 1e-6]), "x")
    ranges.check_signed(torch.empty(0), "x")
    ranges.check_unit(ranges.uint8_to_unit(BYTES), "x")
    with pytest.raises(ValueError, match=r"^x .*expected \[0, 1\]"):
        ranges.check_unit(torch.tensor([-0.5]), "x")
