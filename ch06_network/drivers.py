"""The drivers that there are, each imported when it is used: they need pyroute2. Book section 6.2."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch06_network import network
from ch06_network.network import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch06_network.bridge import BridgeDriver

NAMES = ("bridge", "vxlan", "host-routes")


def driver_name(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    if text not in NAMES:
        raise EngineError(text, "there is no such driver", f"there are {', '.join(NAMES)}")
    return text


def driver_of(name: str) -> BridgeDriver:
    """The driver of this name. Raises EngineError."""
    if driver_name(name) == "bridge":
        from ch06_network.bridge import BridgeDriver

        return BridgeDriver()
    if name == "vxlan":
        from ch06_network.vxlan import VxlanDriver

        return VxlanDriver()
    from ch06_network.host_routes import HostRoutesDriver

    return HostRoutesDriver()


def ready(name: str) -> Network:
    """The network of this name, up and ready for endpoints; the default one is made if it is missing. EngineError."""
    one = _find_or_make(name)
    if not one.is_up() or "span" in one.options:
        driver_of(one.driver).up(one)
    return one


def _find_or_make(name: str) -> Network:
    if name != network.DEFAULT or network.exists(name):
        return network.find(name)
    try:
        return driver_of("bridge").create(name, [], network.MTU, False, {})
    except EngineError:
        if network.exists(name):  # somebody else was quicker
            return network.read(name)
        raise
