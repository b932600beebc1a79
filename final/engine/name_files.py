"""--add-host NAME:host-gateway, --dns-search and --dns-option: more for the files by which a container finds names.

Chapter 6 writes /etc/hosts and /etc/resolv.conf. What is said of name servers, search list and options counts; what is
not said is as on this host. So Docker has it, too. resolv.conf(5), hosts(5). Book section 6.5.
"""

from __future__ import annotations

import os

from ch02_namespaces.command_line import Flag, Options
from ch02_namespaces.errors import EngineError
from ch02_namespaces.syscalls import in_user_namespace, read_file
from ch03_run.container import Container
from ch06_network import drivers, hosts_file, wishes
from ch06_network.plug import NetworkFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch05_lifecycle.store import Stored

GATEWAY = "host-gateway"
ITSELF = "127.0.1.1"  # of a host that has no address of its own: hosts(5)
NO_SEARCH = "."
RESOLVER = "resolv.conf"
LONGEST_DOMAIN, LONGEST_LABEL = 253, 63  # RFC 1035, 2.3.4


def extra_host(text: str) -> str:
    """For Flag.convert: NAME:ADDRESS, or NAME=ADDRESS; for the address also host-gateway. Raises EngineError."""
    name, separator, address = text.partition("=" if "=" in text else ":")
    if address == GATEWAY:
        hosts_file.parse_extra_host(f"{name}:127.0.0.1")  # the name is one
        return f"{name}:{GATEWAY}"
    return hosts_file.parse_extra_host(f"{name}:{address}" if separator else text)


def search_domain(text: str) -> str:
    """For Flag.convert: a domain, or a dot for none. Raises EngineError."""
    labels = text.removesuffix(".").split(".")
    if text != NO_SEARCH and not (len(text) <= LONGEST_DOMAIN and all(map(_is_label, labels))):
        raise EngineError(repr(text), "it is no domain", "such as example.com; a dot for none")
    return text


def _is_label(text: str) -> bool:
    is_plain = text.isascii() and text.replace("-", "x").replace("_", "x").isalnum()
    return is_plain and len(text) <= LONGEST_LABEL and text[0] != "-" != text[-1]


def resolver_option(text: str) -> str:
    """For Flag.convert: NAME or NAME:NUMBER. Raises EngineError."""
    name, colon, number = text.partition(":")
    is_name = name.isascii() and name.replace("-", "x").isalnum()
    if not is_name or (colon and not (number.isascii() and number.isdecimal())):
        raise EngineError(repr(text), "it is no option of a resolver", "such as ndots:2 or rotate: resolv.conf(5)")
    return text


FLAGS = [
    Flag(
        "--add-host",
        value="NAME:ADDRESS",
        convert=extra_host,
        many=True,
        help="a line for its /etc/hosts; host-gateway is this host",
    ),
    Flag(
        "--dns-search", value="DOMAIN", convert=search_domain, many=True, help="where names are looked up (. for none)"
    ),
    Flag(
        "--dns-opt",
        "--dns-option",
        value="OPTION",
        convert=resolver_option,
        many=True,
        help="how names are looked up, such as ndots:2",
    ),
]


def check(options: Options) -> None:
    """Raise EngineError for flags that do not go together with the network."""
    mode = (options.net or [""])[0]
    for flag, given in (("--dns-search", options.dns_search), ("--dns-option", options.dns_option)):
        if given and mode.startswith("container:"):  # it has the files of that one
            raise EngineError(flag, f"with --net {mode} there is no network of its own", "leave out one of them")
    if not any(text.endswith(f":{GATEWAY}") for text in options.add_host):
        return
    if mode == "none":
        raise EngineError(f"--add-host …:{GATEWAY}", "with --net none nothing leads to this host", "another network")
    if in_user_namespace() and mode != "host":
        raise EngineError(f"--add-host …:{GATEWAY}", "this host is out of reach without root", "--net host")


class NameFiles(NetworkFiles):
    """Chapter 6's, with what these flags say."""

    def __init__(self, stored: Stored, options: Options, of_host: bool) -> None:
        super().__init__(stored.id, options.hostname, options.dns, options.add_host, of_host)
        self._stored = stored
        self._options = options

    def prepare(self, container: Container) -> None:
        self._extra = [line for text in self._options.add_host for line in with_addresses(text, self._stored)]
        if in_user_namespace() and wishes.of(self._stored):  # pasta gives it this host's address: nobody registers that
            self._extra.append(f"{self._hostname}:{ITSELF}")
        super().prepare(container)
        options = self._options
        if options.dns or options.dns_search or options.dns_option:
            self._write(configured(self._of_this_host(), options.dns, options.dns_search, options.dns_option))

    def _of_this_host(self) -> str:
        if not self._of_host:
            return hosts_file.resolver_configuration([])
        return read_file(hosts_file.RESOLVER) if os.path.exists(hosts_file.RESOLVER) else ""

    def _write(self, text: str) -> None:
        hosts_file.write(self._id, RESOLVER, text)
        os.truncate(self._stored.record.path(RESOLVER), len(os.fsencode(text)))  # it never makes a file shorter


def with_addresses(text: str, stored: Stored) -> list[str]:
    """What --add-host says, NAME:ADDRESS, with this host's addresses in the place of host-gateway. EngineError."""
    name = text.removesuffix(f":{GATEWAY}")
    return [text] if name == text else [f"{name}:{address}" for address in addresses_of_host(stored)]


def addresses_of_host(stored: Stored) -> list[str]:
    """Where a container finds this host: the gateways of its first network, which is up then. Raises EngineError."""
    if wishes.mode_of(stored)[0] == "host":
        return ["127.0.0.1"]
    wanted = wishes.of(stored)
    if not wanted:
        raise EngineError(f"--add-host …:{GATEWAY}", "the container is in no network", "`network connect`")
    return [str(gateway) for _, gateway in drivers.ready(wanted[0].network).subnets]


def configured(host: str, servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> str:
    """The content of resolv.conf(5). host: this host's, of which all counts that is not said.

    Example: configured("nameserver 192.0.2.1\\nsearch a\\n", [], ["b"], []) is "nameserver 192.0.2.1\\nsearch b\\n".
    """
    domains = [domain for domain in search if domain != NO_SEARCH]
    lines = [f"nameserver {server}" for server in servers] or _lines(host, "nameserver")
    lines += ([f"search {' '.join(domains)}"] if domains else []) if search else _lines(host, "search", "domain")
    lines += [f"options {' '.join(options)}"] if options else _lines(host, "options")
    return "".join(f"{line}\n" for line in [*lines, *_lines(host, "sortlist")])


def _lines(text: str, *keywords: str) -> list[str]:
    words = (line.split() for line in text.splitlines())
    return [" ".join(line) for line in words if line and line[0] in keywords]
