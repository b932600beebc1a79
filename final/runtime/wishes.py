"""What linux.resources asks for, read and checked, in the document's own units. Book section 7.3.

OCI runtime-spec, config-linux.md, "Control groups". A 0 is "not asked for", where no limit can be 0.
"""

from __future__ import annotations

from ch07_practice.oci.document import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

UNLIMITED = -1
LARGEST = (1 << 63) - 1
LARGEST_NUMBER = (1 << 32) - 1
PAGE_UNITS = ("KB", "MB", "GB")
FEWEST_WEIGHT, MOST_WEIGHT = 10, 1000


def amount(node: Node) -> int:
    """A number of bytes or the like; -1 is unlimited, 0 is not asked for. Raises EngineError."""
    return node.number(0, least=UNLIMITED, most=LARGEST)


class Memory:
    """limit, reservation, tcp: bytes; swap: memory and swap together; swappiness, no_killer: None if not asked for.

    kernel and useHierarchy are read and have no effect: the kernel has given them up, as version 2 has given up tcp.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.limit, self.swap, self.reservation = (amount(node[name]) for name in ("limit", "swap", "reservation"))
        self.swappiness = node["swappiness"].number(most=100) if node["swappiness"] else None
        self.no_killer = node["disableOOMKiller"].flag() if node["disableOOMKiller"] else None
        self.checks_before = node["checkBeforeUpdate"].flag()
        self.tcp = amount(node["kernelTCP"])
        amount(node["kernel"])
        node["useHierarchy"].flag()
        if self.limit > 0 and 0 < self.swap < self.limit:
            raise node["swap"].wrong("it counts memory and swap together, and is smaller than the memory limit")


class Cpu:
    """numbers: by the document's names, those that are asked for."""

    def __init__(self, node: Node) -> None:
        self.node = node
        wanted = {
            "shares": node["shares"].number(0),
            "period": node["period"].number(0),
            "quota": node["quota"].number(0, least=UNLIMITED, most=LARGEST),
            "realtimePeriod": node["realtimePeriod"].number(0),
            "realtimeRuntime": node["realtimeRuntime"].number(0, least=UNLIMITED, most=LARGEST),
        }
        self.numbers = {name: number for name, number in wanted.items() if number}
        if node["burst"]:
            self.numbers["burst"] = node["burst"].number()
        if node["idle"]:
            self.numbers["idle"] = node["idle"].number(most=1)


class BlockIo:
    """weight, leaf_weight: 10 to 1000, 0 if not asked for; device_weights: (major:minor, weight, place); rates:
    ((read or write, bps or iops), major:minor, number a second, place)."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.weight, self.leaf_weight = weight(node["weight"]), weight(node["leafWeight"])
        self.device_weights: list[tuple[str, int, Node]] = []
        self.device_leaf_weights: list[tuple[str, int, Node]] = []
        for item in node["weightDevice"].items():
            if found := weight(item["weight"]):
                self.device_weights.append((device(item), found, item))
            if found := weight(item["leafWeight"]):
                self.device_leaf_weights.append((device(item), found, item))
            if not item["weight"] and not item["leafWeight"]:
                raise item.wrong("it has neither weight nor leafWeight")
        self.rates = list(self._rates())

    def _rates(self) -> Iterator[tuple[tuple[str, str], str, int, Node]]:
        for action in ("Read", "Write"):
            for unit in ("Bps", "IOPS"):
                for item in self.node[f"throttle{action}{unit}Device"].items():
                    yield (action.lower(), unit.lower()), device(item), item["rate"].number(), item


def weight(node: Node) -> int:
    """A weight, 0 if not asked for. Raises EngineError."""
    found = node.number(0, most=MOST_WEIGHT)
    if 0 < found < FEWEST_WEIGHT:
        raise node.wrong(f"{found} is not from {FEWEST_WEIGHT} to {MOST_WEIGHT}")
    return found


def device(node: Node) -> str:
    """A device as cgroup files have it."""
    return f"{node['major'].number(most=LARGEST_NUMBER)}:{node['minor'].number(most=LARGEST_NUMBER)}"


class Wishes:
    """All of linux.resources but for the devices. node: its place. Raises EngineError for what makes no sense."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.memory = Memory(node["memory"])
        self.cpu = Cpu(node["cpu"])
        self.cpuset = {name: node["cpu"][name].text("") for name in ("cpus", "mems")}
        self.pids = amount(node["pids"]["limit"])
        self.io = BlockIo(node["blockIO"])
        self.huge_pages = [(page_size(item["pageSize"]), item["limit"].number(), item) for item in limits(node)]
        self.class_id = node["network"]["classID"].number(0, most=LARGEST_NUMBER)
        self.priorities = [
            (f"{name(item['name'])} {item['priority'].number(most=LARGEST_NUMBER)}", item)
            for item in node["network"]["priorities"].items()
        ]
        self.rdma = [(rdma_line(name, item), item) for name, item in node["rdma"].fields().items()]
        self.unified = [(unified_controller(key, item), key, item) for key, item in node["unified"].fields().items()]


def limits(node: Node) -> list[Node]:
    """The entries of hugepageLimits."""
    return node["hugepageLimits"].items()


def page_size(node: Node) -> str:
    """A size of huge pages, such as 2MB. Raises EngineError."""
    text = node.text()
    number, unit = text[:-2], text[-2:]
    if unit not in PAGE_UNITS or not (number.isascii() and number.isdecimal()) or number.startswith("0"):
        raise node.wrong(f"{text!r} is no size of a page", "2MB")
    return text


def name(node: Node) -> str:
    """One word. Raises EngineError."""
    text = node.text()
    if not text or len(text.split()) != 1 or text != text.strip():
        raise node.wrong(f"{text!r} is no name")
    return text


def rdma_line(device: str, node: Node) -> str:
    """The line of rdma.max for a device. Raises EngineError."""
    words = [name(Node(device, node.place))]
    for field, key in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
        if node[field]:
            words.append(f"{key}={node[field].number(most=LARGEST_NUMBER)}")
    if len(words) == 1:
        raise node.wrong("it has neither hcaHandles nor hcaObjects")
    return " ".join(words)


def unified_controller(key: str, node: Node) -> str:
    """The controller that a file of version 2 belongs to: memory.high is of memory. Raises EngineError."""
    controller, dot, file = key.partition(".")
    if "/" in key or "\0" in key or not (controller and dot and file):
        raise node.wrong(f"{key!r} is no file of a cgroup", "memory.high")
    node.text()
    return controller
