# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The peer's part in measuring a pool: the verbs of its backends, over the pipes of an ssh connection.

A question is a line of JSON, ``{"verb": …, …}``, and so is its answer: ``{"answer": …}``, ``{"refused": text}`` or
``{"failed": text, "remedy": …, "evidence": …}``. When the connection ends, however it comes, everything that the agent
made is taken away again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import registry
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import write_file
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
    VcompareError,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host import (
    conditions,
    facts,
    hostlock,
    substrate,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import link, offer
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.access import PEER_DIR

_KEYS_DIR = f"{PEER_DIR}/guests"
_KEYS = ("client_ed25519", "client_ed25519.pub", "guest_host_ed25519", "guest_host_ed25519.pub")
_SYSRQ = Path("/proc/sys/kernel/sysrq")
_TRIGGER = Path("/proc/sysrq-trigger")
# The answer shall be on its way before the host is gone.
_LAST_WORDS_S = 1.0
_LOCK_S = 60.0

Plain = dict[str, t.Any]


def spec_to_plain(spec: InstanceSpec) -> Plain:
    """Return a specification as plain data, without the image: that is the peer's own."""
    plain = dataclasses.asdict(dataclasses.replace(spec, image=None))
    plain["options"] = dict(spec.options)
    return plain


def spec_of(plain: t.Mapping[str, t.Any], image: Image) -> InstanceSpec:
    """Return a specification from plain data and the peer's image."""
    fields = {**plain, "image": image, "command": tuple(plain["command"])}
    return InstanceSpec(**fields)


class Agent:
    """One conversation about the instances of one technology."""

    def __init__(self) -> None:
        self._backend: Base | None = None
        self._image: Image | None = None
        self._owner = ""
        self._joined = False

    def answer(self, question: Plain) -> Plain:
        """Do what a question asks for."""
        given = dict(question)
        verb = str(given.pop("verb", ""))
        try:
            do = getattr(self, f"do_{verb}", None)
            if do is None:
                raise BackendError(f"the pool's agent knows no verb {verb!r}")
            return {"answer": do(**given)}
        except NotPossible as error:
            return {"refused": error.message}
        except VcompareError as error:
            return {"failed": error.message, "remedy": error.remedy, "evidence": error.evidence}
        except Exception as error:  # whatever it is, the source has to hear of it
            return {
                "failed": f"{type(error).__name__}: {error}",
                "remedy": "",
                "evidence": traceback.format_exc(),
            }

    @property
    def backend(self) -> Base:
        """The technology's backend."""
        if self._backend is None:
            raise BackendError("the pool's agent was asked for an instance before it was opened")
        return self._backend

    # Verbs

    def do_open(
        self,
        arm: str,
        owner: str,
        digest: str,
        keys: t.Mapping[str, str],
        sweep_timeout_s: float,
    ) -> Plain:
        """Begin: which technology, with which image; instances of an interrupted measurement go.

        :param keys: the source's keys of guests, so that a guest of its is one of ours, too.
        """
        Path(_KEYS_DIR, "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _KEYS:
            if name in keys:
                write_file(f"{_KEYS_DIR}/keys/{name}", keys[name].encode())
        backend = registry.backend(arm, {"keys_dir": _KEYS_DIR})
        unavailable = backend.available()
        if unavailable:
            raise BackendError(f"{arm} is not possible on the peer: {unavailable}")
        found = facts.image(digest)
        if found is None or found["missing"]:
            raise BackendError(
                "the peer has not the image that is measured with",
                remedy="Provision it: run the playbook provision.yml with the host in its group of peers.",
            )
        self._image = Image(
            **found["paths"],
            reference=str(found.get("reference", "")),
            digest=str(found.get("digest", "")),
            quick_digest=str(found.get("quick_digest", "")),
        )
        self._backend, self._owner = backend, owner
        self._sweep(sweep_timeout_s)
        return {
            "boot_id": conditions.boot_id(),
            "rootfs": self._image.rootfs,
            "offer_mib": offer.mib(arm),
        }

    def do_rootfs_sha256(self) -> str:
        """Read every byte of the root file system."""
        if self._image is None:
            raise BackendError("the pool's agent was asked for an image before it was opened")
        return rootfs_sha256(self._image.rootfs)

    def do_join(self, spec: Plain, local: str, remote: str) -> bool:
        """Join the instances' networks of both hosts; this host's bridge gets another address meanwhile."""
        resolved = self.backend.resolve(self._spec(spec))
        self.backend._prepare_host(resolved)
        self._joined = True
        link.join(self.backend.subnet, local, remote, self.backend.journal, self._owner)
        link.step_aside(self.backend.subnet)
        return True

    def do_create(self, spec: Plain, limit_s: float) -> bool:
        """Make an instance."""
        whole = self._spec(spec)
        self.do_prepare(spec)
        self.backend.create(whole, limit_s)
        return True

    def do_prepare(self, spec: Plain) -> bool:
        """Do what a start does not count."""
        self.backend.prepare(self._spec(spec))
        if self._joined:
            # Making sure of the bridge may have given it its first address back.
            link.step_aside(self.backend.subnet)
        return True

    def do_start(self, spec: Plain, limit_s: float) -> bool:
        """Make an instance that was prepared."""
        self.backend.create(self._spec(spec), limit_s)
        return True

    def do_expect(self, spec: Plain, known: Plain) -> bool:
        """Lay ready for an instance that will arrive, running, from the source.

        :param known: what the source's record says beside the specification.
        """
        self.do_prepare(spec)
        record = self.backend.store.read(str(spec["name"]))
        if record is None:
            raise BackendError(f"{spec['name']} could not be laid ready on the peer")
        record.update(known, started=True)
        self.backend.store.write(record)
        return True

    def do_state(self, name: str) -> str:
        """Say what an instance is."""
        return self.backend.info(name).state

    def do_identify(self, name: str) -> list[Plain]:
        """Have an instance prove what it is, on this host."""
        return [dataclasses.asdict(proof) for proof in self.backend.identify(name)]

    def do_destroy(self, name: str, limit_s: float) -> bool:
        """Take an instance away."""
        return self.backend.destroy(name, limit_s)

    def do_offer(self) -> float:
        """Say how much memory can be given to instances, in MiB."""
        return offer.mib(self.backend.arm)

    def do_quiet(self, limit_s: float) -> float | None:
        """Wait until the host does nothing; return how many CPUs are busy then."""
        return conditions.wait_quiet(limit_s)

    def do_cut(self) -> bool:
        """Reset this host at once, as its reset button would: nothing is written, nobody is told.

        Only a virtual machine, which a lab's node is: what is on a real server's disks is not ours to lose.
        """
        if substrate.detect() in (substrate.METAL, substrate.UNKNOWN):
            raise NotPossible(
                "the peer is not known to be a virtual machine: its power is not ours to cut"
            )
        _SYSRQ.write_text("1", encoding="ascii")

        def reset() -> None:
            time.sleep(_LAST_WORDS_S)
            _TRIGGER.write_text("b", encoding="ascii")

        threading.Thread(target=reset, daemon=True).start()
        return True

    def do_close(self, limit_s: float) -> str:
        """Take everything away again; return what could not be."""
        return self.close(limit_s)

    # Parts

    def _spec(self, plain: Plain) -> InstanceSpec:
        if self._image is None:
            raise BackendError("the pool's agent was asked for an instance before it was opened")
        return spec_of(plain, self._image)

    def _sweep(self, timeout_s: float) -> None:
        backend, owner = self.backend, self._owner
        names = {info.name for info in backend.list() if info.details.get("owner") == owner}
        # A host that was cut off may have lost what it wrote of an instance; its journal is on disk at once.
        names.update(
            str(entry["id"])
            for entry in backend.journal.pending(backend.arm)
            if entry["owner"] == owner
        )
        for name in sorted(names):
            backend.destroy(name, timeout_s)

    def close(self, timeout_s: float = 120.0) -> str:
        """Take everything away again; return what could not be."""
        trouble = []
        steps: list[t.Callable[[], None]] = []
        if self._backend is not None:
            backend = self._backend
            steps = [
                lambda: self._sweep(timeout_s),
                lambda: link.part(backend.journal, self._owner),
                lambda: link.step_back(backend.subnet),
            ]
        for step in steps:
            try:
                step()
            except Exception as error:  # whatever it is, the rest shall go all the same
                trouble.append(str(error))
        shutil.rmtree(_KEYS_DIR, ignore_errors=True)
        self._joined = False
        if not trouble:
            self._backend = None
        return "; ".join(trouble)


def rootfs_sha256(path: str) -> str:
    """Return the sha256 of a block device or file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def main() -> None:
    """Answer until the other end has nothing more to ask."""
    # The channel is ours alone: what a library prints must not come between.
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    agent = Agent()

    def over(number: int, frame: t.Any) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(1)

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, over)
    with contextlib.ExitStack() as stack:
        stack.callback(agent.close)
        try:
            # Two measurements on one host would measure each other, and clear away what is the other's.
            stack.enter_context(hostlock.measuring(timeout_s=_LOCK_S))
            first: Plain = {}
        except VcompareError as error:
            first = {"failed": error.message, "remedy": error.remedy, "evidence": ""}
        for line in sys.stdin:
            reply = first or agent.answer(json.loads(line))
            channel.write(json.dumps(reply) + "\n")
            channel.flush()
