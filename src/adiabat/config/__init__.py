"""Typed configuration: dataclasses whose values come from defaults, YAML files, flags and Python keywords.

`setting` describes a field; a `ConfigManager` reads dataclasses and kinds from all sources and knows where
each value came from; `kinds.py` is the table of what can be chosen by name.
"""

from adiabat.config.checks import check_settings
from adiabat.config.choice import expectation
from adiabat.config.coercion import allows_none, describe_type, literal_words, members
from adiabat.config.kinds import FAMILIES, SECTIONS, Family, Kind
from adiabat.config.manager import ConfigManager
from adiabat.config.resolved import ResolvedSetting, format_resolved
from adiabat.config.settings import MISSING, WIRED, Setting, SettingInfo, setting, settings_of, wired
from adiabat.config.short_names import SHORT_NAMES, JobName, StructuresJobName
from adiabat.config.sources import Flag, Node, Origin, from_flags, from_keywords, from_mapping, from_yaml
from adiabat.config.suggestions import closest, did_you_mean
from adiabat.config.targets import Target, find_target, load_target, target_of

__all__ = [
    "FAMILIES",
    "MISSING",
    "SECTIONS",
    "SHORT_NAMES",
    "WIRED",
    "ConfigManager",
    "Family",
    "Flag",
    "JobName",
    "Kind",
    "Node",
    "Origin",
    "ResolvedSetting",
    "Setting",
    "SettingInfo",
    "StructuresJobName",
    "Target",
    "allows_none",
    "check_settings",
    "closest",
    "describe_type",
    "did_you_mean",
    "expectation",
    "find_target",
    "format_resolved",
    "from_flags",
    "from_keywords",
    "from_mapping",
    "from_yaml",
    "literal_words",
    "load_target",
    "members",
    "setting",
    "settings_of",
    "target_of",
    "wired",
]
