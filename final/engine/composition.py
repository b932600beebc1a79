"""What a container of the full engine consists of: a bundle, the runtime's parts for it, the chapters' between them.

image and flags ──► document ──► parts of final.runtime
                                 + the union of the layers    (chapter 4), before the runtime looks at the root
                                 + the network                (chapter 6), when the process has its namespaces
                                 + the names of its users     (chapter 4), when the image's files are its own
"""

from __future__ import annotations

from ch02_namespaces import syscalls
from ch03_run.container import Part
from ch03_run.isolation import DieWithEngine, MountNamespace
from ch04_images import state
from ch04_images.volumes import Sources
from ch05_lifecycle.lifecycle import KeptDirectory
from ch06_network import wishes
from ch06_network.lifecycle import network_parts
from ch06_network.plug import NetworkFiles
from ch07_practice.oci import bundle as bundles
from ch07_practice.oci.document import Node
from ch07_practice.oci.namespaces import Namespaces
from ch07_practice.oci.process import Findable
from ch07_practice.oci.root import BindRoot
from ch07_practice.oci.state import Kept
from final.engine import defaults, document, mounts, special_parts, user_ranges
from final.engine.image_user import ImageUser
from final.engine.name_files import NameFiles
from final.engine.part_list import insert_after, insert_before, one_of, replace
from final.runtime.capabilities import Credentials
from final.runtime.runtime import FullRuntime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch02_namespaces.command_line import Options
    from ch05_lifecycle.store import Stored


def parts_of(stored: Stored, options: Options, streams: Part) -> list[Part]:
    """What the container consists of, in order: the runtime's parts, and the chapters' between them."""
    config, users = document.document_of(stored, options), user_ranges.of(stored)
    if users is not None:
        config = users.document(config)
    bundle = bundles.Bundle(stored.record.path(), Node(config, ""))
    bundles.check(bundle.config)
    state.write_record(stored.record.path(bundles.CONFIG), config, durable=False)
    namespaces = Namespaces(bundle.config["linux"]["namespaces"])
    parts = FullRuntime().parts_of(bundle, Kept(state.make_place(defaults.RUNTIME), stored.id), namespaces, streams)
    directory = KeptDirectory(stored)
    bound = [mount["source"] for mount in stored.settings["mounts"] if mount["type"] == mounts.BIND]
    union: list[Part] = [directory, Sources(bound), MountNamespace(), special_parts.union(stored, directory)]
    described = bundle.config["process"]
    special_parts.find_sub_paths(stored, parts, bundle, namespaces)
    insert_before(parts, BindRoot, union)
    insert_after(parts, Namespaces, network_of(stored, options))
    replace(parts, Credentials, user_of(stored, options, described))
    parts.remove(one_of(parts, Findable))  # here, create and start are one: what is not found is told by the start
    return [*parts, *special_parts.monitor(stored), DieWithEngine()]


def network_of(stored: Stored, options: Options) -> list[Part]:
    """The parts of chapter 6; the new namespace itself is in the document."""
    parts = [part for part in network_parts(stored, options) if not part.clone_flags]
    is_host = wishes.mode_of(stored)[0] == "host"
    parts = [NameFiles(stored, options, is_host) if isinstance(part, NetworkFiles) else part for part in parts]
    if not syscalls.in_user_namespace():
        return parts
    from final.engine.rootless_network import rootless

    return rootless(parts, stored)


def user_of(stored: Stored, options: Options, described: Node) -> ImageUser:
    """Who the command is."""
    settings = stored.settings
    return ImageUser(described, settings["user"] or "0", options.group_add, settings.get("sets_home", True))
