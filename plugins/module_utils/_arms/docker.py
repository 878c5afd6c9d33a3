# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker, through its SDK for Python."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import tarfile
import time
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    cpuset,
    data_disk,
    host_networks,
    network,
    proofs,
    threads,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base, Live
from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Builder, Versions
from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import DOCKER_LABEL
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Destination,
    Image,
    InstanceSpec,
    Proof,
    Result,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.stamps import Frame, timed_out
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Record
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import with_deadline
from ansible_collections.vcompare.lab.plugins.module_utils._host import mounts

try:
    import docker
    import requests  # type: ignore[import-untyped,unused-ignore]
except ImportError:
    HAS_DOCKER = False
else:
    HAS_DOCKER = True

DOCKER_MISSING = (
    "the Python library docker is not installed for this interpreter (Debian: python3-docker; "
    "Ansible must use the system's Python on this host)"
)
DEFAULT_URL = "unix:///run/docker.sock"
NETWORK = "vcompare"
IDLE = ("/bin/sleep", "infinity")
OPTIONS = frozenset({"base_url", "runtime", "address", "program"})
SYSTEMS = "vcompare/system"

# Loading an image is one request without an answer for as long as it takes.
_LOAD_TIMEOUT_S = 1800
_QUICK_TIMEOUT_S = 120


@contextlib.contextmanager
def _errors(doing: str, remedy: str = "") -> t.Iterator[None]:
    """Turn Docker's errors into ours."""
    try:
        yield
    except docker.errors.APIError as error:
        raise BackendError(f"{doing}: Docker said: {error.explanation or error}", remedy) from None
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise BackendError(
            f"{doing}: {error}", remedy or "See that the daemon runs (systemctl status docker)."
        ) from None


def layers_of_archive(path: str) -> list[str]:
    """Return the ids of the layers of an image archive, as ``docker inspect`` names them.

    They are the same whatever the store (classic or containerd's) makes of the image's id.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            manifest = _member(archive, "manifest.json")
            config = _member(archive, str(manifest[0]["Config"]))
            return [str(layer) for layer in config["rootfs"]["diff_ids"]]
    except (OSError, tarfile.TarError, KeyError, IndexError, TypeError, ValueError) as error:
        raise BackendError(
            f"docker: {path} is not an image archive: {error!r}",
            remedy="Build the image again, or attach it to this host.",
        ) from None


def _member(archive: tarfile.TarFile, name: str) -> t.Any:
    handle = archive.extractfile(name)
    if handle is None:
        raise KeyError(name)
    with handle:
        return json.load(handle)


def layer_folders(found: t.Mapping[str, t.Any], proc: str = "/proc") -> list[str]:
    """Return the folders of the host with a container's writable layer.

    From what the daemon says of its storage driver; with containerd's image store, which has none, from the mount that
    is the container's root, where the snapshotter is one of overlayfs.

    :param found: what ``docker inspect`` says.
    :raises NotPossible: neither names folders that are here, so that the layer's size can't be measured.
    """
    data = (found.get("GraphDriver") or {}).get("Data") or {}
    named: t.Sequence[str | None] = [data.get("UpperDir"), data.get("WorkDir")]
    if not all(named):
        named = _mounted_layer(int((found.get("State") or {}).get("Pid") or 0), proc)
    folders = [str(path) for path in named if path and os.path.isdir(path)]
    if len(folders) < len(named) or not folders:
        snapshot = ((found.get("Storage") or {}).get("RootFS") or {}).get("Snapshot") or {}
        driver = (found.get("GraphDriver") or {}).get("Name") or snapshot.get("Name")
        raise NotPossible(
            f"the storage driver {driver or 'that Docker uses'} does not say where on this host a container's writable "
            "layer is"
        )
    return folders


def _mounted_layer(pid: int, proc: str) -> list[str]:
    """Return the upper and the work folder of the overlay that is a process's root; none where it is another mount."""
    try:
        lines = (
            Path(proc, str(pid), "mountinfo").read_text(encoding="utf-8").splitlines()
            if pid
            else []
        )
    except OSError:
        return []
    for words in map(str.split, lines):
        kind = words.index("-") if "-" in words else 0
        if kind and words[4] == "/" and words[kind + 1] == "overlay":
            options = dict(word.partition("=")[::2] for word in words[-1].split(","))
            return [
                mounts.unescaped(options[key]) for key in ("upperdir", "workdir") if key in options
            ]
    return []


def _kill_tree(pid: int) -> None:
    """Kill a process of the host and all that it started."""
    with contextlib.suppress(OSError, ValueError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                _kill_tree(int(child))
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


class Docker(Base):
    """Containers; Docker's own defaults for seccomp and AppArmor stay on."""

    arm = "docker"
    subnet = network.DOCKER
    default_url = DEFAULT_URL
    # Linux' own words: what is not a program of Linux can't be one of a container.
    refuses_systems = ("exec format error",)

    _client: t.Any = None

    def client(self, timeout_s: float = _QUICK_TIMEOUT_S) -> t.Any:
        """Return the low-level client, with a timeout for its next requests."""
        if not HAS_DOCKER:
            raise BackendError(f"docker: {DOCKER_MISSING}", "Install python3-docker on the host.")
        if self._client is None:
            url = str(self.options.get("base_url") or self.default_url)
            with _errors(f"{self.arm}: connecting to {url}"):
                self._client = docker.APIClient(base_url=url, version="auto", timeout=timeout_s)
        self._client.timeout = max(timeout_s, 1.0)
        return self._client

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        if not HAS_DOCKER:
            return DOCKER_MISSING
        try:
            with _errors("docker: asking whether the daemon is there"):
                self.client().ping()
        except BackendError as error:
            return error.message
        return ""

    def resolve(self, spec: InstanceSpec) -> InstanceSpec:
        """Return the specification with this host's defaults; refuse what can't be."""
        unknown = sorted(
            {key for key, value in spec.options.items() if value is not None} - OPTIONS
        )
        if unknown:
            raise BackendError(
                f"{spec.name}: docker: there is no option {unknown[0]!r}",
                remedy=f"There are {', '.join(sorted(OPTIONS))}.",
            )
        if spec.image is None or not spec.image.reference:
            raise BackendError(f"{spec.name}: docker needs an image with a reference")
        return super().resolve(spec)

    def _prepare_host(self, spec: InstanceSpec) -> None:
        self.store.ensure()
        self._ensure_network(spec.owner)
        if spec.image is not None and not spec.options.get("program"):
            self._ensure_image(spec.image)

    def _stage(self, spec: InstanceSpec, record: Record) -> None:
        if spec.options.get("program"):
            self._import_program(spec)
        if spec.data_mib:
            data_disk.make_folder(self.store.make_folder(spec.name))

    def foreign(self, spec: InstanceSpec, system: System) -> InstanceSpec:
        """Return what ``create`` takes to have a container of that one file, whose application it is."""
        if system.boot != "kernel":
            raise NotPossible(f"a container has no disk to start {system.name} from")
        reference = f"{SYSTEMS}:{spec.name}"
        return dataclasses.replace(
            spec,
            image=Image(rootfs="", reference=reference),
            command=(f"/{os.path.basename(system.path)}",),
            data_mib=0,
            options={**spec.options, "program": system.path},
        )

    def _import_program(self, spec: InstanceSpec) -> None:
        """Make an image of a single file; it goes with its container."""
        path, image = str(spec.options["program"]), t.cast(Image, spec.image)
        self.journal.create("docker-image", image.reference, spec.owner)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar, open(path, "rb") as program:
            entry = tar.gettarinfo(fileobj=program, arcname=os.path.basename(path))
            entry.mode = 0o755
            tar.addfile(entry, program)
        repository, _colon, tag = image.reference.partition(":")
        with _errors(f"{spec.name}: making an image of {path}"):
            self.client(_LOAD_TIMEOUT_S).import_image_from_data(
                archive.getvalue(),
                repository=repository,
                tag=tag,
                changes=[f"LABEL {DOCKER_LABEL}={spec.owner}"],
            )

    def _ensure_network(self, owner: str) -> None:
        client = self.client()
        with _errors(f"docker: making the network {NETWORK}"):
            for found in client.networks(names=[NETWORK]):
                if found["Name"] != NETWORK:
                    continue
                subnets = [item.get("Subnet") for item in found["IPAM"].get("Config") or ()]
                if subnets != [self.subnet.network]:
                    raise BackendError(
                        f"docker: the network {NETWORK} is there with {subnets} and not "
                        f"{self.subnet.network}",
                        remedy=f"Remove it (docker network rm {NETWORK}), or rename it.",
                    )
                return
            host_networks.require(self.subnet)
            self.journal.create("docker-network", NETWORK, owner)
            pool = docker.types.IPAMPool(subnet=self.subnet.network, gateway=self.subnet.gateway)
            client.create_network(
                NETWORK,
                driver="bridge",
                options={"com.docker.network.bridge.name": self.subnet.bridge},
                ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                labels={DOCKER_LABEL: owner},
            )

    def _layers(self, reference: str) -> list[str]:
        """Return the layers of an image that Docker has; none when it has no such image."""
        with _errors(f"docker: inspecting the image {reference}"):
            try:
                return [
                    str(layer)
                    for layer in self.client().inspect_image(reference)["RootFS"]["Layers"]
                ]
            except docker.errors.ImageNotFound:
                return []

    def _ensure_image(self, image: Image) -> None:
        present = self._layers(image.reference)
        if present and not image.container:
            return
        wanted = layers_of_archive(image.container)
        if present == wanted:
            return
        with (
            _errors(f"docker: loading the image {image.container}"),
            open(image.container, "rb") as archive,
        ):
            for progress in self.client(_LOAD_TIMEOUT_S).load_image(archive, quiet=True) or ():
                if "error" in progress:
                    raise BackendError(f"docker: loading the image: {progress['error']}")
        if self._layers(image.reference) != wanted:
            raise BackendError(
                f"docker: {image.container} was loaded, and {image.reference} is still "
                f"another image",
                remedy=(
                    "Build the image again: its archive has another reference than its image.json."
                ),
            )

    def _start(self, spec: InstanceSpec, record: Record, timeout_s: float) -> t.Mapping[str, t.Any]:
        if spec.image is None:
            raise BackendError(f"{spec.name}: docker needs an image with a reference")
        deadline = time.monotonic() + timeout_s
        client = self.client(timeout_s)
        with _errors(f"{spec.name}: starting the container"):
            if "container" not in record or self._look(spec.name, record) is None:
                record["container"] = self._make(client, spec, record)
                self.store.write(record)
            client.timeout = max(deadline - time.monotonic(), 1.0)
            client.start(record["container"])
        return {"id": record["container"]}

    def _make(self, client: t.Any, spec: InstanceSpec, record: Record) -> str:
        image = t.cast(Image, spec.image)
        memory = spec.memory_mib << 20
        folder = self.store.folder(spec.name)
        scratch = dict.fromkeys(("/run", "/tmp"), f"rw,exec,size={memory}")  # noqa: S108
        host_config = client.create_host_config(
            cpuset_cpus=None if spec.unlimited else spec.cpuset,
            mem_limit=None if spec.unlimited else memory,
            # memory and swap together: so no swap
            memswap_limit=None if spec.unlimited else memory,
            network_mode=NETWORK,
            log_config=docker.types.LogConfig(
                type="json-file", config={"max-size": "1m", "max-file": "1"}
            ),
            binds=[f"{data_disk.path(folder)}:{data_disk.MOUNT_POINT}"] if spec.data_mib else None,
            tmpfs=scratch,  # the scratch folders are the same in every arm
            runtime=spec.options.get("runtime"),
        )
        endpoint = client.create_endpoint_config(ipv4_address=record["address"])
        made = client.create_container(
            image.reference,
            command=list(spec.command or IDLE),
            name=spec.name,
            hostname=spec.name,
            labels={DOCKER_LABEL: spec.owner},
            host_config=host_config,
            networking_config=client.create_networking_config({NETWORK: endpoint}),
            # process 1 gets no signal that it has no handler for: sleep would be waited for in vain
            stop_signal=None if spec.command else "SIGKILL",
        )
        return str(made["Id"])

    def files(self, name: str) -> t.Sequence[str]:
        """Return the files and folders of the host that belong to one instance alone."""
        found = self._inspect(name)
        if found is None:
            raise BackendError(f"docker: there is no {name}")
        # The folder with its configuration and log, its layer, and what overlayfs needs beside that.
        own = [os.path.dirname(found["ResolvConfPath"]), *layer_folders(found)]
        return [*super().files(name), *own]

    def versions(self, spec: InstanceSpec, names: t.Sequence[str]) -> Versions:
        """Return what keeps versions of a container's own layer."""
        # Imported when it is asked for, as backends are (registry.py).
        from ansible_collections.vcompare.lab.plugins.module_utils._arms import docker_making

        return docker_making.DockerVersions(self, spec)

    def builder(self, spec: InstanceSpec) -> Builder:
        """Return what builds images by a Dockerfile."""
        from ansible_collections.vcompare.lab.plugins.module_utils._arms import docker_making

        return docker_making.DockerBuilder(self, spec)

    errors = staticmethod(_errors)

    def has_image(self, reference: str) -> bool:
        """Say whether there is an image of that name."""
        return bool(self._layers(reference))

    def note_image(self, name: str, reference: str) -> None:
        """Have an image go with an instance; call it before the image is made."""
        record = self._record(name)
        if record is None:
            raise BackendError(f"{self.arm}: there is no {name} that an image could belong to")
        if reference not in record.setdefault("images", []):
            record["images"].append(reference)
            self.store.write(record)

    def drop_images(self, name: str, timeout_s: float = _QUICK_TIMEOUT_S) -> None:
        """Remove the images that belong to an instance, and containers of ours that stand on them."""
        references = (self._record(name) or {}).get("images", ())
        if not references:
            return
        client = self.client(timeout_s)
        with _errors(f"{name}: removing its images"):
            for reference in filter(self.has_image, reversed(references)):
                # An interrupted block's, whose turn to be removed comes later.
                for found in client.containers(all=True, filters={"ancestor": reference}):
                    if DOCKER_LABEL in (found.get("Labels") or {}):
                        with contextlib.suppress(docker.errors.NotFound):
                            client.remove_container(found["Id"], force=True, v=True)
                with contextlib.suppress(docker.errors.ImageNotFound):
                    client.remove_image(reference, force=True)

    def tasks(self, name: str) -> t.Mapping[int, str]:
        """Return the threads of the container's control group."""
        found = self._inspect(name)
        pid = int(found["State"]["Pid"] or 0) if found else 0
        if not pid:
            raise BackendError(f"{self.arm}: {name} does not run")
        return threads.of_group(pid)

    def save(self, name: str, timeout_s: float) -> str:
        """Ask the daemon for a checkpoint: whether it can is for the daemon to say.

        It can where it runs with experimental features and CRIU is installed. Debian 12 has no CRIU, so that what
        would come after that was never seen, and is not written.
        """
        client = self.client(timeout_s)
        with _errors(f"{name}: asking for a checkpoint"):
            answer = client._post(
                client._url("/containers/{0}/checkpoints", name),
                json={"CheckpointID": "vcompare", "Exit": True},
            )
        if answer.ok:
            raise NotPossible("Docker made a checkpoint, which this version does not restore")
        said = answer.text.strip()
        with contextlib.suppress(ValueError, KeyError):
            said = str(answer.json()["message"])
        raise NotPossible(f"Docker makes no checkpoint here: {said}")

    def move(self, name: str, to: Destination, timeout_s: float) -> None:
        """Ask the daemon for a checkpoint, without which nothing of a running container can go anywhere."""
        self.save(name, timeout_s)

    def console(self, name: str) -> str:
        """Return the last lines that the application said."""
        try:
            with _errors(f"{name}: reading its log"):
                return str(self.client().logs(name, tail=20).decode(errors="replace")).strip()
        except BackendError:
            return ""

    def _inspect(self, name: str) -> dict[str, t.Any] | None:
        with _errors(f"{name}: inspecting the container"):
            try:
                return t.cast("dict[str, t.Any]", self.client().inspect_container(name))
            except docker.errors.NotFound:
                return None

    def _look(self, name: str, record: Record | None) -> Live | None:
        found = self._inspect(name)
        if found is None:
            return None
        status = found["State"]["Status"]
        state = {"running": "running", "exited": "stopped"}.get(status, "broken")
        labels = found["Config"].get("Labels") or {}
        cpus = found["HostConfig"].get("CpusetCpus")
        return Live(
            state,
            str(labels.get(DOCKER_LABEL, "")),
            len(cpuset.parse(cpus)) if cpus else None,
            (found["HostConfig"].get("Memory") or 0) >> 20 or None,
            {"id": found["Id"], "status": status, "pid": found["State"]["Pid"]},
        )

    def _live_names(self) -> t.Iterable[str]:
        if not HAS_DOCKER:
            return ()
        with _errors("docker: listing containers"):
            found = self.client().containers(all=True, filters={"label": DOCKER_LABEL})
        return [name.lstrip("/") for container in found for name in container["Names"][:1]]

    def run(self, name: str, argv: t.Sequence[str], timeout_s: float) -> Result:
        """Run a command inside the instance as root, from ``/``, without a shell."""
        frame = Frame(argv)
        client = self.client()
        with _errors(f"{name}: running {argv[0]}"):
            ident = client.exec_create(name, frame.argv, workdir="/")["Id"]
            stream = client.exec_start(ident, stream=True, demux=True)

        def follow() -> None:
            for stdout, stderr in stream:
                frame.feed(stdout or b"", stderr or b"", time.monotonic())

        try:
            with _errors(f"{name}: running {argv[0]}"):
                with_deadline(follow, timeout_s, name)
        except BackendError:
            if frame.ended:
                return frame.result(name)  # a daemon that it started holds the stream
            with _errors(f"{name}: ending {argv[0]}"):
                pid = int(client.exec_inspect(ident)["Pid"] or 0)
            if pid:
                _kill_tree(pid)
            raise timed_out(name, argv, timeout_s, frame.stderr) from None
        return frame.result(name)

    def _stop(self, name: str, record: Record | None, timeout_s: float) -> None:
        with _errors(f"{name}: stopping the container"):
            self.client(timeout_s + _QUICK_TIMEOUT_S).stop(name, timeout=max(int(timeout_s), 1))

    def _remove(
        self, name: str, record: Record | None, live: Live | None, timeout_s: float
    ) -> None:
        with (
            _errors(f"{name}: removing the container"),
            contextlib.suppress(docker.errors.NotFound),
        ):
            self.client(timeout_s).remove_container(name, force=True, v=True)
        self.drop_images(name, timeout_s)
        spec = (record or {}).get("spec") or {}
        if (spec.get("options") or {}).get("program"):
            reference = spec["image"]["reference"]
            with (
                _errors(f"{name}: removing its image"),
                contextlib.suppress(docker.errors.ImageNotFound),
            ):
                self.client(timeout_s).remove_image(reference, force=True)
            self.journal.gone("docker-image", reference, str(spec.get("owner", "")))

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove what the arm is, from inside and from outside."""
        record = self._record(name)
        found = self._inspect(name)
        if record is None or found is None:
            raise BackendError(f"docker: there is no {name} to identify")
        host = proofs.host_facts()
        facts = self.observe(name)
        pid = int(found["State"]["Pid"] or 0)
        groups = namespace = ""
        with contextlib.suppress(OSError):
            groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
            namespace = str(Path(f"/proc/{pid}/ns/pid").readlink())
        return [
            proofs.outside("docker-running", "true", str(found["State"]["Running"]).lower()),
            proofs.outside(
                "process-cgroup", found["Id"], found["Id"] if found["Id"] in groups else ""
            ),
            # the process that Docker names on the host and the one that we speak to are in one
            # namespace
            proofs.inside("pid-namespace", namespace, facts.get("pid_namespace", "")),
            Proof(
                "own-pid-namespace",
                "outside",
                f"another than {host['pid_namespace']}",
                namespace,
                bool(namespace) and namespace != host["pid_namespace"],
            ),
            *self.inside_proofs(facts, host, int(record["spec"]["vcpus"])),
        ]

    def inside_proofs(
        self, facts: proofs.Facts, host: proofs.Facts, vcpus: int
    ) -> t.Sequence[Proof]:
        """Judge what was observed in an instance, as far as that needs no look from outside."""
        return [
            *proofs.shared_kernel(facts, host),
            proofs.inside("dockerenv", "present", facts.get("dockerenv", "")),
            proofs.cpu_count(facts, vcpus),
        ]
