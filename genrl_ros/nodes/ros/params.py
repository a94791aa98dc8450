"""A node's parameters as a frozen dataclass: one place for default, bounds and description.

A leaf is a bool, int, float, str or a tuple of str or float that is not empty: what ROS can tell
apart without a value. All parameters are read-only: a node is started anew to change them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

if TYPE_CHECKING:
    from rclpy.node import Node

Parameters = TypeVar('Parameters')


class ParameterError(ValueError):
    """A parameter has a value that the node cannot work with."""


def parameter(
    default: Any, doc: str, *, low: float | None = None, high: float | None = None
) -> Any:
    """A field of a parameter dataclass.

    Args:
        default: its value where no parameter file says otherwise.
        doc: what it is, with its unit; shown by `ros2 param describe`.
        low: smallest value allowed.
        high: largest value allowed.
    """
    return dataclasses.field(default=default, metadata={'doc': doc, 'low': low, 'high': high})


def declare(node: Node, kind: type[Parameters]) -> Parameters:
    """Declare every field of `kind` as a parameter of `node`, and read them.

    Raises:
        ParameterError: naming the parameter, if a value has the wrong type or is out of bounds.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        try:
            value = node.declare_parameter(field.name, default, _descriptor(kind, field)).value
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            raise ParameterError(
                f'{node.get_name()}: parameter {field.name} ({field.metadata["doc"]}): {error}'
            ) from None
        values[field.name] = tuple(value) if isinstance(field.default, tuple) else value
    return kind(**values)


def _descriptor(kind: type, field: dataclasses.Field[Any]) -> ParameterDescriptor:
    low, high = field.metadata['low'], field.metadata['high']
    descriptor = ParameterDescriptor(description=field.metadata['doc'], read_only=True)
    if low is not None or high is not None:
        if get_type_hints(kind)[field.name] is int:
            span = IntegerRange(
                from_value=int(-(2**63) if low is None else low),
                to_value=int(2**63 - 1 if high is None else high),
            )
            descriptor.integer_range = [span]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(
                    from_value=float('-inf') if low is None else float(low),
                    to_value=float('inf') if high is None else float(high),
                )
            ]
    return descriptor
