"""The table of kinds names classes that exist and can be configured."""

from __future__ import annotations

import pytest

from adiabat.config import FAMILIES, SECTIONS, Target, load_target, settings_of

# Writers take their arguments from the run and have no settings of their own.
CHOSEN = [family for name, family in FAMILIES.items() if name != "writers"]
TARGETS = [(name, kind.target) for family in CHOSEN for name, kind in family.kinds.items()]
TARGETS += [(name, kind.target) for name, kind in SECTIONS.items()]


@pytest.mark.parametrize(("name", "target"), TARGETS, ids=[name for name, _ in TARGETS])
def test_a_kind_exists_and_its_settings_are_described(name, target):
    for setting in settings_of(load_target(Target(name, target))):
        assert setting.info.help, f"{name}: the setting {setting.name} has no help"


def test_each_family_has_its_default_and_no_name_is_in_two():
    names = [name for family in FAMILIES.values() for name in family.kinds] + list(SECTIONS)
    assert len(names) == len(set(names))
    for family in FAMILIES.values():
        assert family.default is None or family.default in family.kinds
