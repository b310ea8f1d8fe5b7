"""Participants of the benchmark, one per file, all with the interface of `benchmarks.peers.base`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from benchmarks.errors import BenchmarkError
from benchmarks.peers.base import Contender, Participant

#: Peer -> (module, class). Imported only when asked for: each of them is an optional dependency.
PEERS = {
    "jax": ("benchmarks.peers.jax_peer", "JaxPeer"),
    "torch": ("benchmarks.peers.torch_peer", "TorchPeer"),
    "autograd": ("benchmarks.peers.autograd_peer", "AutogradPeer"),
}


def installed_peers() -> list[str]:
    """Return the names of the peers that can be imported."""
    return [name for name in PEERS if find_spec(name) is not None]


def load_peer(name: str) -> Participant:
    """Import a peer and return it as a participant."""
    module, cls = PEERS[name]
    if find_spec(name) is None:
        raise BenchmarkError(
            f"peer {name!r} is not installed. Install it with `pip install -e '.[peers]'`, or leave it out: "
            f"--peers {','.join(installed_peers()) or 'none'}"
        )
    return getattr(import_module(module), cls)()


__all__ = ["PEERS", "Contender", "Participant", "installed_peers", "load_peer"]
