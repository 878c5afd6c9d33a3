# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two hosts as one pool: instances are placed until both are full, one is moved to the other host while it is used, and
what ran on a host that is lost runs on the other one again.

The host that is measured (the source) has a peer of the same technology, where an agent of ours does what it asks for.
What can't move alive is moved by making it again, which is how containers are moved.
"""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import XEN_ARMS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import wait_until
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import starting
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import resp
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LAST,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    answer,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import (
    agent,
    offer,
    placement,
    session,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.client import (
    Conversation,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.probe import Probe
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.session import (
    QUICK_S,
    Session,
)

NAME = "pool"
FILLED = answer(NAME, "all_hosts_filled")
PLACED = Metric(NAME, "instances_placed", "count", "higher", 1.0, 1000.0)
ALIVE = answer(NAME, "moved_alive")
DOWNTIME = Metric(NAME, "move_downtime", "s", "lower", 0.0001, 3600.0)
AGAIN = answer(NAME, "placed_again")
AGAIN_TIME = Metric(NAME, "time_to_placed_again", "s", "lower", 0.0001, 7200.0)

_KEY, _DATA = "vcompare-pool", "kept"
# Instances of the size that two fill a host with; so many that do not are not a pool that comes to an end.
_MOST = 40
_MOVE_S = 180.0
# The probe has seen the application reply for so long before it is moved, and after it.
_WATCHED_S = 2.0
_LOST = 2
# A host is lost when so many questions in a row had no reply, each of which had so long.
_MISSED, _REPLY_S = 3, 2.0
_BOOT_S = 120.0


def placed(stage: Stage) -> t.Iterator[Figure]:
    """Place instances one after the other, each on the host with more memory to give, until both are full."""
    with session.opened(stage) as pool:
        here = placement.Host("the source", offer.mib(stage.backend.arm))
        there = placement.Host(pool.peer.name, float(pool.opened["offer_mib"]))
        # The turn's own instance counts as placed. Xen has given it all its memory; elsewhere it was promised that.
        here.promise(stage.spec.memory_mib)
        if stage.backend.arm in XEN_ARMS:
            here.promised_mib = 0.0
        offers = (here.offer_mib - here.promised_mib, there.offer_mib)
        size = placement.size_mib(offers, stage.spec.memory_mib)
        hosts = (here, there)
        told = [f"{host.name} offers {host.offer_mib:.0f} MiB" for host in hosts]
        told.append(f"each instance {size} MiB")
        specs: list[InstanceSpec] = []
        while (host := placement.choose(hosts, size)) is not None:
            if len(specs) >= _MOST:
                raise BackendError(f"after {_MOST} instances the pool is not full")
            spec = pool.spec(f"p{len(specs)}", memory_mib=size)
            if host is here:
                stage.fresh(spec)
            else:
                pool.create_on_peer(spec)
            host.promise(size)
            specs.append(spec)
            told.append(
                f"{spec.name} on {host.name}, which has room for {host.room_mib:.0f} MiB more"
            )
        silent = [
            spec.name
            for spec in specs
            if not resp.ping(stage.backend.address(spec), QUICK_S * stage.factor)
        ]
        counts = {host.name: host.placed for host in hosts}
        text = (
            f"{'; '.join(told)}; placed {counts}; silent in the end: {', '.join(silent) or 'none'}"
        )
        yield Figure(FILLED, float(all(counts.values()) and not silent), text)
        yield Figure(PLACED, sum(counts.values()) - len(silent), text)
    for spec in specs:
        stage.gone(spec)


def moved(stage: Stage) -> t.Iterator[Figure]:
    """Move an instance that is being used to the other host, with what it knows."""
    with session.opened(stage) as pool:
        spec = pool.spec("mover")
        address = stage.backend.address(spec)
        stage.fresh(spec)
        resp.ask(address, f"SET {_KEY} {_DATA}", 30.0 * stage.factor)
        limit_s = (_MOVE_S + starting.READY_S) * stage.factor
        _same_disk(stage, pool)
        _lay_ready(stage, pool, spec)
        refusal = ""
        with Probe(address) as probe:
            if not probe.wait_for_reply(0.0, QUICK_S * stage.factor):
                raise BackendError(f"redis at {address} does not reply to the probe")
            time.sleep(_WATCHED_S)
            began = time.monotonic()
            try:
                stage.backend.move(spec.name, pool.destination, _MOVE_S * stage.factor)
            except NotPossible as error:
                refusal = error.message
                if stage.backend.own_kernel:
                    _lay_ready_anew(pool, spec)
                began = time.monotonic()
                stage.backend.destroy(spec.name, session.DESTROY_S * stage.factor)
                pool.on_peer(
                    "start",
                    spec,
                    starting.CREATE_S,
                    limit_s=starting.CREATE_S * stage.factor,
                )
            ended = time.monotonic()
            if not probe.wait_for_reply(ended, limit_s):
                raise BackendError(
                    f"{spec.name} was moved to {pool.peer.name} and does not reply at {address}"
                )
            replied = time.monotonic()
            time.sleep(_WATCHED_S)
        gap = probe.longest(began, replied)
        how = f"made again there, since: {refusal}" if refusal else "moved while it ran"
        # A second life replies without what the first one knew: that is the difference.
        value = resp.ask(address, f"GET {_KEY}", 30.0 * stage.factor)
        here = stage.backend.info(spec.name).state
        proofs = pool.talk.ask("identify", QUICK_S, name=spec.name)
        doubts = [f"{p['name']}: {p['observed']}" for p in proofs if not p["holds"]]
        alive = value == _DATA and here in ("absent", "stopped") and not doubts and not refusal
        text = (
            f"{how}; {ended - began:.3f} s; redis has {value!r}, which was {_DATA!r} before;"
            f" on the source it is {here};"
            f" on {pool.peer.name} it proves by {', '.join(str(p['name']) for p in proofs)}"
            f" what it is{'; but ' + '; '.join(doubts) if doubts else ''}"
        )
        yield Figure(ALIVE, float(alive), text)
        if doubts or here == "running":
            raise BackendError(f"{spec.name} is not where it was moved to: {text}")
        yield Figure(
            DOWNTIME,
            gap,
            f"longest time without a reply {gap:.3f} s, of {probe.asked} questions {len(probe.replies)} were answered;"
            f" before the move {probe.usual_gap(began):.3f} s; {how}",
        )
        pool.destroy_on_peer(spec.name)
    stage.gone(spec)


def _lay_ready(stage: Stage, pool: Session, spec: InstanceSpec) -> None:
    """Have the peer lay ready for an instance that comes running, or for one that is made again there."""
    if not stage.backend.own_kernel:
        pool.on_peer("prepare", spec, session.PREPARE_S)
        return
    record = pool.backend.store.read(spec.name) or {}
    known = {key: record[key] for key in ("uuid",) if key in record}
    pool.on_peer("expect", spec, session.PREPARE_S, known=known)


def _lay_ready_anew(pool: Session, spec: InstanceSpec) -> None:
    """Have the peer forget the instance that was to come running, and lay ready for one of its own; the old one serves.

    What was expected has the identity of the one on the source, and the one that is made there gets another.
    """
    pool.destroy_on_peer(spec.name)
    pool.on_peer("prepare", spec, session.PREPARE_S)


def _same_disk(stage: Stage, pool: Session) -> None:
    """Make sure that a guest finds the same disk on the other host: it goes on reading from it."""
    if not stage.backend.own_kernel or stage.spec.image is None:
        return
    path, other = stage.spec.image.rootfs, str(pool.opened["rootfs"])
    if path != other:
        raise NotPossible(
            f"the root file system is at {path} on the source and at {other} on {pool.peer.name}"
        )
    # Both at once: they are two hosts.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        asked = thread.submit(pool.talk.ask, "rootfs_sha256", 240.0)
        here, there = agent.rootfs_sha256(path), str(asked.result())
    if here != there:
        raise BackendError(f"{path} has the sha256 {here} on the source and {there} on the peer")
    stage.evidence.keep(f"{path} has the sha256 {here} on both hosts\n")


def lost(stage: Stage) -> t.Iterator[Figure]:
    """Cut the peer off, and have what ran there run here."""
    with session.opened(stage) as pool:
        if not pool.peer.nested:
            raise NotPossible(
                "a host is lost by a reset without warning, which is done to nodes of a nested lab only"
            )
        specs = [pool.spec(f"lost{number}") for number in range(_LOST)]
        for spec in specs:
            pool.create_on_peer(spec)
        addresses = [stage.backend.address(spec) for spec in specs]
        pool.talk.ask("cut", QUICK_S)
        cut = time.monotonic()
        pool.talk.forget()
        try:
            _notice(addresses, stage.factor)
            noticed = time.monotonic()
            for spec in specs:
                stage.fresh(spec)
            again = time.monotonic()
            replies = [resp.ping(address, QUICK_S * stage.factor) for address in addresses]
        finally:
            back_s = _wait_for(pool, stage.factor)
        text = (
            f"{_LOST} instances on {pool.peer.name}, which was reset; noticed after {noticed - cut:.3f} s"
            f" ({_MISSED} questions of {_REPLY_S:g} s without a reply), placed again and replying after"
            f" {again - cut:.3f} s: {replies}; {pool.peer.name} was back {back_s:.0f} s later"
        )
        yield Figure(AGAIN, float(all(replies)), text)
        if all(replies):
            yield Figure(AGAIN_TIME, again - cut, text)
    for spec in specs:
        stage.gone(spec)


def _notice(addresses: t.Sequence[str], factor: float) -> None:
    """Wait until none of the instances replies any more, each missed several times in a row.

    :raises BackendError: they go on replying.
    """

    def gone() -> bool:
        return all(
            not resp.ping(address, _REPLY_S) for address in addresses for _time in range(_MISSED)
        )

    if not wait_until(gone, QUICK_S * factor, 0.1):
        raise BackendError("the peer was reset, and its instances go on replying")


def _wait_for(pool: Session, factor: float) -> float:
    """Wait until the peer is up again, in another boot, and quiet; return the seconds that it took.

    The next arm's instances shall not be moved to a host that is just booting; nor measured beside it.
    """
    began = time.monotonic()
    limit_s = _BOOT_S * factor
    trouble = "nothing was tried"
    while time.monotonic() - began < limit_s:
        talk = Conversation(pool.peer, factor)
        try:
            said = talk.ask(
                "open",
                QUICK_S,
                arm=pool.backend.arm,
                owner=pool.stage.spec.owner,
                digest=pool.stage.spec.image.digest if pool.stage.spec.image else "",
                keys={},
                sweep_timeout_s=session.DESTROY_S * factor,
            )
            if said["boot_id"] != pool.opened["boot_id"]:
                talk.ask("quiet", QUICK_S, limit_s=QUICK_S * factor)
                return time.monotonic() - began
            trouble = "it is still in the boot that was to be cut off"
        except BackendError as error:
            trouble = error.message
        finally:
            talk.end()
        time.sleep(2.0)
    raise BackendError(
        f"{pool.peer.name} did not come back within {limit_s:g} s after it was reset: {trouble}",
        remedy="Have its lab server restart it: vcompare lab down, then up.",
    )


EXPERIMENT = Experiment(
    NAME,
    (
        Step(LAST, (FILLED, PLACED), placed, company=True),
        Step(LAST, (ALIVE, DOWNTIME), moved, company=True),
        Step(LAST, (AGAIN, AGAIN_TIME), lost, company=True),
    ),
)
