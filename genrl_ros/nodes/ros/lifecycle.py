"""What every node of the graph is: a lifecycle node that says why a transition failed.

`configure` loads and warms up, `activate` starts to act, `deactivate` ends that safely, `cleanup`
forgets everything. Each may raise: the node says so, and stays in the state that it was in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import State
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer

from genrl_ros.nodes.ros.diagnostics import Diagnostics, Level, Status

DIAGNOSTICS_S = 0.5
"""How often a node tells its health; it also does so whenever it changes."""


class ManagedNode(LifecycleNode):
    """A lifecycle node. What is created in `configure` is destroyed again after `cleanup`.

    Attributes:
        steady: a clock that nobody sets, for time-outs.
        active: whether the node may act.
        loading: whether it is being configured.
    """

    def __init__(self, name: str, **options: Any) -> None:
        """Make an unconfigured node.

        Args:
            name: of the node.
            **options: for the ROS node.
        """
        super().__init__(name, **options)
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.active = self.loading = False
        self._failure = ''
        self._diagnostics = Diagnostics(self)
        self.create_timer(DIAGNOSTICS_S, self.tell, clock=self.steady)
        self._own = self._entities()

    def configure(self) -> None:
        """Load and warm up; raise a ValueError or OSError for people if that is not possible."""

    def activate(self) -> None:
        """Start to act; raise a ValueError for people if that would not be safe."""

    def deactivate(self) -> None:
        """Stop to act, and leave everything safe."""

    def cleanup(self) -> None:
        """Free what `configure` has loaded, as far as it came."""

    def health(self) -> Status:
        """What the active node has to tell; called by `tell`."""
        return Status(Level.OK, 'active')

    def tell(self) -> None:
        """Publish the node's health on `/diagnostics`."""
        if self.active:
            self._diagnostics.publish(self.health())
        elif self._failure:
            self._diagnostics.publish(Status(Level.ERROR, self._failure))
        else:
            self._diagnostics.publish(Status(Level.STALE, self.state_name))

    @property
    def state_name(self) -> str:
        """The state of its lifecycle: `unconfigured`, `inactive`, `active` or `finalized`."""
        return str(self._state_machine.current_state[1])

    def when_active(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback for messages, which are dropped while the node is not active."""

        def guarded(message: Any) -> None:
            if self.active:
                callback(message)

        return guarded

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """A steady timer that does nothing while the node is not active."""
        return self.create_timer(
            period_s, lambda: callback() if self.active else None, clock=self.steady
        )

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self.loading = True
        try:
            done = self._try('configure', self.configure)
        finally:
            self.loading = False
        if done is not TransitionCallbackReturn.SUCCESS:
            self._forget()
        return done

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        done = self._try('activate', self.activate)
        self.active = done is TransitionCallbackReturn.SUCCESS
        self.tell()
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self.active = False
        self._try('deactivate', self.deactivate)
        return TransitionCallbackReturn.SUCCESS  # it does not act any more, whatever happened

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self._forget()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self._finish()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy: an error leaves an unconfigured node, which may be configured again."""
        self._finish()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Deactivate and clean up, as far as that was not done yet."""
        if self._state_machine.current_state[0] != State.PRIMARY_STATE_FINALIZED:
            self._finish()
        super().destroy_node()

    def _try(self, name: str, step: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            step()
        except Exception as error:  # whatever it is, the node has to live on and to say it
            self._failure = f'{name} failed: {error}'
            self.get_logger().error(f'{name} failed: {type(error).__name__}: {error}')
            self.tell()
            return TransitionCallbackReturn.FAILURE
        self._failure = ''
        return TransitionCallbackReturn.SUCCESS

    def finish(self) -> None:
        """Deactivate, if it is active."""
        if self.active:
            self.active = False
            self._try('deactivate', self.deactivate)

    def _finish(self) -> None:
        self.finish()
        self._forget()

    def _forget(self) -> None:
        failure = self._failure
        self._try('cleanup', self.cleanup)
        self._failure = self._failure or failure
        for entity, destroy in self._entities().items():
            if entity not in self._own:
                destroy(entity)

    def _entities(self) -> dict[Any, Callable[[Any], Any]]:
        """Everything of the node that ROS knows, with what destroys it."""
        return {
            entity: destroy
            for entities, destroy in (
                (self.timers, self.destroy_timer),
                (self.subscriptions, self.destroy_subscription),
                (self.services, self.destroy_service),
                (self.clients, self.destroy_client),
                (self.publishers, self.destroy_publisher),
            )
            for entity in entities
        }
