"""What a request sets into its graph: values, files that were uploaded, files that are somewhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from comfymesh import names
from comfymesh.api.assets import Assets
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.egress.guard import Egress, EgressRefusedError
from comfymesh.egress.guard import parse as parse_url
from comfymesh.graphs import Catalog, Graph, JsonValue
from comfymesh.patterns import fits
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import spec_pb2

_LONGEST_NAME = 64

Place = tuple[str, str]
"""A graph node and one of its inputs."""


@dataclass(frozen=True, slots=True)
class Given:
    """The inputs of a request.

    Attributes:
        values: What the graph gets. For a file, a name that stands in until the agent has staged it and knows the real
            one.
        assets: Files that were uploaded.
        urls: Files that the agent fetches.
    """

    values: dict[Place, JsonValue] = field(default_factory=dict)
    assets: list[spec_pb2.AssetBinding] = field(default_factory=list)
    urls: list[spec_pb2.UrlBinding] = field(default_factory=list)

    @property
    def files(self) -> frozenset[Place]:
        """Inputs whose value is replaced on the node."""
        assets = ((binding.graph_node, binding.input) for binding in self.assets)
        return frozenset([*assets, *((binding.graph_node, binding.input) for binding in self.urls)])


class Inputs:
    """Reads the inputs of requests.

    Args:
        assets: What was uploaded.
        url_hosts: Patterns of the hosts that URLs may name; empty: no URLs are taken.
        egress: Which addresses they may name. Names are judged by the node, which looks them up.
    """

    def __init__(self, assets: Assets, url_hosts: Sequence[str], egress: Egress) -> None:
        self._egress = egress
        self._assets = assets
        self._url_hosts = url_hosts

    async def read(self, task: task_pb2.Task, tenant: str) -> Given:
        """The inputs of a task whose fields are valid.

        Raises:
            RefusedError: an asset does not exist, or a host is not allowed; every one is named.
        """
        given, missing, wrong = Given(), list[Violation](), list[Violation]()
        for path, value in task.inputs.items():
            graph_node, _, name = path.partition(".")
            match value.WhichOneof("kind"):
                case "asset":
                    missing += await self._add_asset(given, tenant, (graph_node, name), value.asset)
                case "url":
                    wrong += self._add_url(given, (graph_node, name), value.url)
                case kind:
                    given.values[graph_node, name] = getattr(value, str(kind))
        if wrong:
            raise invalid([*missing, *wrong])
        if missing:
            raise RefusedError("ASSET_NOT_FOUND", "an input names an asset that does not exist", violations=missing)
        return given

    async def _add_asset(self, given: Given, tenant: str, place: Place, name: str) -> list[Violation]:
        known = await self._assets.use(tenant, names.parse_asset(name))
        if known is None:
            return [Violation(field_of(place), f"there is no {name}; upload it first")]
        asset = known.record
        given.values[place] = asset.filename
        given.assets.append(
            spec_pb2.AssetBinding(graph_node=place[0], input=place[1], blob=asset.blob, filename=asset.filename)
        )
        return []

    def _add_url(self, given: Given, place: Place, url: str) -> Iterator[Violation]:
        host = parse_url(url).host
        given.values[place] = urlsplit(url).path.rpartition("/")[2][-_LONGEST_NAME:] or "file"
        given.urls.append(spec_pb2.UrlBinding(graph_node=place[0], input=place[1], url=url))
        if not self._url_hosts:
            yield Violation(field_of(place), "inputs by URL are not taken here; upload the file as an asset")
        elif not fits(self._url_hosts, host):
            why = f"the operator does not let inputs be fetched from {host}; upload the file as an asset"
            yield Violation(field_of(place), why)
        try:
            self._egress.check_literal(host)
        except EgressRefusedError as error:
            yield Violation(field_of(place), str(error))


def field_of(place: Place) -> str:
    """How violations name an input."""
    return f"task.inputs[{'.'.join(place)}]"


def with_kinds(urls: Sequence[spec_pb2.UrlBinding], graph: Graph, catalog: Catalog) -> list[spec_pb2.UrlBinding]:
    """The same URLs, with what kind of file each input takes, as the catalog has it."""
    return [
        spec_pb2.UrlBinding(
            graph_node=binding.graph_node, input=binding.input, url=binding.url, kind=_kind(binding, graph, catalog)
        )
        for binding in urls
    ]


def _kind(binding: spec_pb2.UrlBinding, graph: Graph, catalog: Catalog) -> str:
    node_class = catalog.classes.get(graph.nodes[binding.graph_node].class_type)
    spec = node_class.inputs.get(binding.input) if node_class else None
    return spec.upload if spec and spec.upload in {"image", "audio", "video"} else ""
