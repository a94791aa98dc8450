"""YAML from outside: values such as JSON has, without what makes a small file a large one."""

from __future__ import annotations

from typing import Any

import yaml

SHOWN = 200
"""Letters of the library's message that are shown; it may repeat the file."""
TAGS = tuple(
    f'tag:yaml.org,2002:{kind}' for kind in ('null', 'bool', 'int', 'float', 'str', 'seq', 'map')
)


class YamlError(ValueError):
    """What was read is no plain YAML; the text says why, and where."""


def parse_yaml(content: bytes | str) -> Any:
    """The value of a YAML document: text, numbers, true, false, null, lists, keys and values.

    Aliases are refused, of which a few bytes stand for gigabytes; so are keys that are there
    twice, of which the last would win, and tags. Keys and dates are text.

    Raises:
        YamlError: if it is not plain YAML.
    """
    try:
        return yaml.load(content, _Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = str(error)
        raise YamlError(text if len(text) <= SHOWN else f'{text[:SHOWN]} ...') from None


class _Loader(yaml.SafeLoader):
    """Makes plain values only."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag in TAGS]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, 'anchor', None) is not None:
            raise _problem('anchors and aliases (& and *) are not allowed', event)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in TAGS:
            raise _problem('tags (!) are not allowed', node)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _problem('a key must be text', key)
            if key.value in values:
                raise _problem(f'key {key.value[:40]!r} is there twice', key)
            values[key.value] = self.construct_object(value, deep)
        return values


def _problem(text: str, where: Any) -> yaml.YAMLError:
    mark = where.start_mark
    return yaml.YAMLError(f'{text} (line {mark.line + 1}, column {mark.column + 1})')
