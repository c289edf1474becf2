"""The pools of nodes, with the instances that are in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from comfymesh import names
from comfymesh.v1 import node_pb2

_SERVING = frozenset({node_pb2.Instance.STATE_READY, node_pb2.Instance.STATE_BUSY})


def fill(node: node_pb2.Node) -> None:
    """Complete the pools that an agent tells: with their instances, and with pools that are only a name."""
    told = {pool.name: pool for pool in node.pools}
    for instance in node.instances:
        if instance.pool:
            name = names.pool(node.name, instance.pool)
            pool = told.setdefault(name, node_pb2.Pool(name=name, runtime=instance.runtime))
            pool.instances.append(instance.name)
            pool.serving_count += instance.state in _SERVING
    complete = [told[name] for name in sorted(told)]
    del node.pools[:]
    node.pools.extend(complete)


def matching(nodes: Iterable[node_pb2.Node], *, node: str = "", pool: str = "") -> Iterator[node_pb2.Pool]:
    """The pools of nodes, by name; only those of this node, and of this name, where that is asked.

    Args:
        nodes: The nodes.
        node: `nodes/{node}`; empty for any.
        pool: What tasks call the pool; empty for any.
    """
    found = [each for one in nodes if node in {"", one.name} for each in one.pools]
    return iter(sorted((each for each in found if pool in {"", _short(each)}), key=lambda each: each.name))


def _short(pool: node_pb2.Pool) -> str:
    return pool.name.rpartition("/")[2]
