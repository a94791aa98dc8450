"""A node's health on `/diagnostics`, as the usual tools read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from genrl_ros.nodes.ros import qos

if TYPE_CHECKING:
    from rclpy.node import Node


class Level(Enum):
    """How bad it is."""

    OK = DiagnosticStatus.OK
    WARN = DiagnosticStatus.WARN
    ERROR = DiagnosticStatus.ERROR
    STALE = DiagnosticStatus.STALE


@dataclass(frozen=True)
class Status:
    """What a node has to tell: a level, a sentence, and figures by name."""

    level: Level
    message: str
    values: Mapping[str, object] = field(default_factory=dict)

    def to_message(self, name: str) -> DiagnosticStatus:
        """The message of a component with this name."""
        return DiagnosticStatus(
            level=self.level.value,
            name=name,
            message=self.message[:1000],
            hardware_id='genrl',
            values=[KeyValue(key=key, value=str(value)) for key, value in self.values.items()],
        )


class Diagnostics:
    """Publishes the statuses of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._name = node.get_fully_qualified_name().lstrip('/').replace('/', '.')
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)

    def publish(self, status: Status) -> None:
        """Tell it now."""
        message = DiagnosticArray(status=[status.to_message(self._name)])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
