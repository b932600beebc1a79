"""A config.json for an ordinary user to begin with: `spec --rootless`. Book sections 2.1.6, 7.3; user_namespaces(7)."""

from __future__ import annotations

import os
from typing import Any

from ch07_practice.oci.example import INERT, example


def rootless_example() -> dict[str, Any]:
    """The same shell for whoever we are: he is root inside, and there is nobody else; the network is the host's.

    So the owner of a mount can be nobody else, and /sys is the host's, too, which belongs to the network's namespace.
    """
    config = example()
    linux = config["linux"]
    linux["namespaces"] = [item for item in linux["namespaces"] if item["type"] != "network"] + [{"type": "user"}]
    for name, id in (("uidMappings", os.geteuid()), ("gidMappings", os.getegid())):
        linux[name] = [{"containerID": 0, "hostID": id, "size": 1}]
    config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/sys")]
    for mount in config["mounts"]:
        mount["options"] = [option for option in mount["options"] if not option.startswith(("uid=", "gid="))]
    config["mounts"].append(
        {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", *INERT, "ro"]}
    )
    return config
