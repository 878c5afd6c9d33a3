# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Podman, through the part of its service that speaks Docker's language.

It is the example of docs/extending.md: one file with what differs from its nearest relative.
"""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import network, proofs
from ansible_collections.vcompare.lab.plugins.module_utils._arms.docker import Docker
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Proof
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import NotPossible

_SOCKET = "/run/podman/podman.sock"
_ENGINE = "Podman Engine"
# The folder in which containers/storage keeps what belongs to containers.
_KEPT_IN = "overlay-containers"


class Podman(Docker):
    """Containers of root's Podman; its own defaults for seccomp, AppArmor and capabilities stay on."""

    arm = "podman"
    subnet = network.PODMAN
    default_url = f"unix://{_SOCKET}"

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        if shutil.which("podman", path="/usr/bin:/usr/local/bin") is None:
            return "podman is not installed (Debian: podman)"
        if not self.options.get("base_url") and not Path(_SOCKET).exists():
            return f"Podman's service does not listen at {_SOCKET} (systemctl enable --now podman.socket)"
        return super().available()

    def save(self, name: str, timeout_s: float) -> str:
        """Refuse: Podman's checkpoints are not part of the interface that is used here."""
        raise NotPossible(
            "Podman makes checkpoints with CRIU through an interface of its own, which is not used"
        )

    def observe(self, name: str) -> proofs.Facts:
        """Observe from inside, with where the engine keeps the file of host names that it mounts there.

        Its mark /run/.containerenv is hidden by the scratch folder, and what it tells the first process in its
        environment is overwritten by redis, which writes its title there.
        """
        argv = ["sed", "-n", r"s#^.*/\([^/ ]*\)/[0-9a-f]\{64\}/userdata/hosts /etc/hosts .*#\1#p"]
        kept = self.run(name, [*argv, "/proc/self/mountinfo"], 60.0).stdout.strip()
        return {**super().observe(name), "kept_in": kept}

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove what the arm is, from inside and from outside."""
        with self.errors(f"{name}: asking the service what it is"):
            parts = self.client().version().get("Components") or ()
        names = [str(part.get("Name")) for part in parts]
        engine = _ENGINE if _ENGINE in names else ", ".join(names)
        return [proofs.outside("engine", _ENGINE, engine), *super().identify(name)]

    def inside_proofs(
        self, facts: proofs.Facts, host: proofs.Facts, vcpus: int
    ) -> t.Sequence[Proof]:
        """Judge what was observed in an instance, as far as that needs no look from outside."""
        return [
            *proofs.shared_kernel(facts, host),
            proofs.inside("kept-in", _KEPT_IN, facts.get("kept_in", "")),
            proofs.cpu_count(facts, vcpus),
        ]
