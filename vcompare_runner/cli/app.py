# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The ``vcompare`` command: options and their help. What commands do is in ``commands.py``."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

import typer

from vcompare_runner import __version__
from vcompare_runner._contract.arms import ARMS
from vcompare_runner.cli import streams
from vcompare_runner.core.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    VcompareError,
)
from vcompare_runner.core.names import DEFAULT_LAB, DEFAULT_PROFILE
from vcompare_runner.run.terminal import say, show_error, warn

EXIT_CODES = """\b
Exit codes:
  0    done
  1    something failed
  2    wrong usage or input; nothing was made
  3    finished, but an arm was refused or failed (there is a report)
  130  interrupted"""

app = typer.Typer(
    name="vcompare",
    help=f"""Compare Docker, KVM and Xen on your hardware, against the bare host.

\b
Examples:
  vcompare compare                     build the lab, measure, report
  vcompare compare --profile smoke     does everything work here?
  vcompare runs                        what was measured before
  vcompare calibrate                   can its verdicts be trusted?

{EXIT_CODES}""",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
lab_app = typer.Typer(
    help="""The nested lab: machines that this machine carries.

\b
Examples:
  vcompare lab up
  vcompare lab status --json
  vcompare lab down --lab default""",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(lab_app, name="lab")

Lab = t.Annotated[str, typer.Option("--lab", metavar="NAME", help="Name of the lab.")]
InventoryOption = t.Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        "-i",
        help="Inventory to use; the nested lab's own when not given.",
        show_default=False,
    ),
]
Accel = t.Annotated[
    str | None,
    typer.Option(
        "--accel",
        metavar="auto|kvm|tcg",
        help=(
            "What carries nested nodes: KVM, emulation (tcg), or KVM where it is proven to work "
            "(auto)."
        ),
        show_default="auto",
    ),
]
Nodes = t.Annotated[
    int | None,
    typer.Option(
        "--nodes",
        metavar="1|2|3|4",
        help=(
            "Nodes of the nested lab: 1 alone (in plain Linux and in Xen in turns, where --arms names an arm of Xen), "
            "2 with one of Xen, 3 with a second host of Docker and KVM, 4 with one of Xen, too (scenario pool)."
        ),
        show_default="as many as the arms need",
    ),
]
AsJson = t.Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _show_version(value: bool) -> None:
    if value:
        say(f"vcompare {__version__}")
        raise typer.Exit()


@app.callback()
def _main_options(
    debug: t.Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of our own errors.")
    ] = False,
    version: t.Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    if debug:
        os.environ[_DEBUG] = "1"


_DEBUG = "VCOMPARE_DEBUG"


@app.command(
    help=f"""Build the lab, run the same work on the bare host and in every arm, and report.

Finished blocks are kept whatever happens later: an interrupted or failed run goes on with
--resume.

\b
Examples:
  vcompare compare
  vcompare compare --profile smoke --arms bare,docker
  vcompare compare --scenarios cpu,startup --blocks 15
  vcompare compare --profile standard --budget 2h
  vcompare compare -i inventories/metal
  vcompare compare --profile full --claims startup,isolation
  vcompare compare --claims ours.yml
  vcompare compare --dry-run
  vcompare compare --resume 20261124-101500-ab12cd

{EXIT_CODES}"""
)
def compare(
    profile: t.Annotated[
        str | None,
        typer.Option(
            metavar="quick|smoke|standard|full",
            help="How much is measured.",
            show_default=DEFAULT_PROFILE,
        ),
    ] = None,
    arms: t.Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM[,ARM…]",
            help=f"Arms to compare, bare among them: {', '.join(ARMS)}.",
            show_default="the profile's",
        ),
    ] = None,
    scenarios: t.Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME…]", help="Scenarios to measure.", show_default="the profile's"
        ),
    ] = None,
    blocks: t.Annotated[
        int | None,
        typer.Option(
            help="Blocks to measure (with --budget: at least); intervals need 5 or more.",
            show_default="the profile's",
        ),
    ] = None,
    budget: t.Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help=(
                "Measure until every open claim's interval is narrow enough, or until this time "
                "(20m, 2h, 1h30m) is up."
            ),
            show_default="none",
        ),
    ] = None,
    seed: t.Annotated[
        int | None, typer.Option(help="Seed of all that is drawn.", show_default="drawn")
    ] = None,
    claims: t.Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CLAIM[,CLAIM…]|FILE",
            help="Measure what these claims need (by their ids); or a file with claims of your own (docs/claims.md), "
            "beside those that every run is judged by. May be given several times.",
            show_default=False,
        ),
    ] = None,
    systems: t.Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Catalogue of systems of your own that os-variety starts as well (docs/systems.yml). May be given "
            "several times.",
            show_default=False,
        ),
    ] = None,
    accel: Accel = None,
    nodes: Nodes = None,
    lab: t.Annotated[
        str | None,
        typer.Option("--lab", metavar="NAME", help="Name of the lab.", show_default=DEFAULT_LAB),
    ] = None,
    inventory: InventoryOption = None,
    resume: t.Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Go on with a run that did not finish (its id, or 'latest')."
        ),
    ] = None,
    allow: t.Annotated[
        list[str] | None,
        typer.Option(
            metavar="restart|reboot",
            help=(
                "What may interrupt a server: restart a daemon that carries containers or machines, reboot into Xen "
                "(docs/servers.md)."
            ),
        ),
    ] = None,
    keep_running: t.Annotated[
        bool, typer.Option("--keep-running", help="Leave the nested nodes running at the end.")
    ] = False,
    dry_run: t.Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help=(
                "Show what would be measured, and what would be changed on each server; make nothing. Servers are "
                "only read; exit code 2 where one is refused or can't be reached."
            ),
        ),
    ] = False,
) -> None:
    """Compare."""
    from vcompare_runner.cli import commands

    raise typer.Exit(
        commands.compare(
            commands.CompareOptions(
                profile=profile,
                arms=arms,
                scenarios=scenarios,
                blocks=blocks,
                budget=budget,
                seed=seed,
                claims=claims,
                systems=systems,
                accel=accel,
                nodes=nodes,
                lab=lab,
                inventory=inventory,
                resume=resume,
                allow=allow,
                keep_running=keep_running,
                dry_run=dry_run,
            )
        )
    )


@app.command(
    help="""Make the report of a run again, from its bundle alone.

\b
Examples:
  vcompare report latest
  vcompare report 20261124-101500-ab12cd
  vcompare report /media/usb/20261124-101500-ab12cd --output /tmp/report
  vcompare report RUN-OF-MONDAY RUN-OF-TUESDAY --output both     one report of several runs"""
)
def report(
    bundle: t.Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE_OR_RUN...",
            help="Folder of a bundle, id of a run, or 'latest'; several become one report.",
        ),
    ],
    output: t.Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder to write to.", show_default="report/ in the bundle"
        ),
    ] = None,
) -> None:
    """Report."""
    from vcompare_runner.cli import commands

    raise typer.Exit(commands.report(bundle, output))


@app.command(
    help="""List the runs that this machine has.

\b
Examples:
  vcompare runs
  vcompare runs --json"""
)
def runs(as_json: AsJson = False) -> None:
    """List runs."""
    from vcompare_runner.cli import commands

    raise typer.Exit(commands.runs(as_json))


@app.command(
    help="""Measure whether reports fool their readers, on noise with a known truth.

Prints how often intervals hold the truth, how often reports without a true difference claim one,
and how often planted effects are found. About a minute; exit code 1 when a bound is missed.

\b
Examples:
  vcompare calibrate
  vcompare calibrate --cases lognormal,bimodal --repeats 1000 --seed 7
  vcompare calibrate --json calibration.json
  vcompare calibrate --procedures        other intervals beside the one in use
  vcompare calibrate --bundle latest     a real run: bare against bare-again, and what was planted

\b
A real run with effects of known size in it:
  vcompare compare --profile calibration --arms bare,bare-planted"""
)
def calibrate(
    cases: t.Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME…]", help="Kinds of noise to measure.", show_default="all"),
    ] = None,
    repeats: t.Annotated[
        int, typer.Option(help="Samples drawn for each kind of noise and number of blocks.")
    ] = 20_000,
    on_disk: t.Annotated[
        int,
        typer.Option(
            "--on-disk",
            help="Bundles written to disk for each kind of noise and analysed like a run's.",
        ),
    ] = 100,
    seed: t.Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 1,
    json_file: t.Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all figures to a file, too."),
    ] = None,
    bundle: t.Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE_OR_RUN",
            help="Check a real run instead: bare against bare-again shows no difference, bare-planted shows its own.",
        ),
    ] = None,
    procedures: t.Annotated[
        bool, typer.Option("--procedures", help="Measure other intervals of the median, too.")
    ] = False,
) -> None:
    """Calibrate."""
    # Late: scipy takes a while to import.
    from vcompare_runner.calibrate import command

    raise typer.Exit(
        command.calibrate(cases, repeats, seed, on_disk, json_file, bundle, procedures)
    )


@app.command(
    help="""Remove everything of vcompare from the servers of an inventory: instances, networks, images, keys, the state
folder, and what was changed for them. Packages stay, and are named with the command that removes them.

Only what still is as vcompare left it is changed; the rest is named, with what to do about it. A second call has
nothing to do. Nodes of a nested lab go with `vcompare lab down`.

\b
Examples:
  vcompare release -i inventories/metal --dry-run
  vcompare release -i inventories/metal
  vcompare release -i inventories/metal --allow reboot     a host that runs under Xen boots Linux again
  vcompare release -i inventories/metal --json

\b
Exit codes:
  0    every server is released, or had nothing of vcompare; with --dry-run: nothing was changed
  1    a server could not be reached, or something is left on it
  2    wrong usage or input; nothing was changed
  130  interrupted; the same command goes on"""
)
def release(
    inventory: t.Annotated[
        Path, typer.Option("--inventory", "-i", help="Inventory with the servers.")
    ],
    allow: t.Annotated[
        list[str] | None,
        typer.Option(
            metavar="restart|reboot",
            help=(
                "What may interrupt a server: restart Docker's daemon although it carries other containers, reboot out "
                "of Xen (docs/servers.md)."
            ),
        ),
    ] = None,
    dry_run: t.Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Release."""
    from vcompare_runner.cli import release as releasing

    raise typer.Exit(releasing.release(inventory, allow, dry_run, as_json))


@lab_app.command(
    "up",
    help="""Build the nested lab, or start it, and put Docker, KVM and Xen into it.

\b
Examples:
  vcompare lab up
  vcompare lab up --accel tcg --lab spare
  vcompare lab up --nodes 3 --lab pool""",
)
def lab_up(
    lab: Lab = DEFAULT_LAB,
    accel: Accel = None,
    nodes: Nodes = None,
    inventory: InventoryOption = None,
) -> None:
    """Bring a lab up."""
    from vcompare_runner.cli import commands

    raise typer.Exit(commands.lab_up(lab, accel, inventory, nodes))


@lab_app.command(
    "down",
    help="""Take the nested lab away: its machines, networks and disks. Runs and images stay.

\b
Examples:
  vcompare lab down
  vcompare lab down --lab spare""",
)
def lab_down(lab: Lab = DEFAULT_LAB, inventory: InventoryOption = None) -> None:
    """Take a lab away."""
    from vcompare_runner.cli import commands

    raise typer.Exit(commands.lab_down(lab, inventory))


@lab_app.command(
    "status",
    help="""Say what there is of the nested lab, as it is now.

\b
Examples:
  vcompare lab status
  vcompare lab status --lab spare --json""",
)
def lab_status(
    lab: Lab = DEFAULT_LAB, as_json: AsJson = False, inventory: InventoryOption = None
) -> None:
    """Show a lab."""
    from vcompare_runner.cli import commands

    raise typer.Exit(commands.lab_status(lab, as_json, inventory))


@lab_app.command(
    "doctor",
    help="""Find what is wrong with the lab server and all labs of the home, and say what to do.

--fix repairs what is ours: daemons that don't answer, half-made labs, machines whose lab is gone, emulators that
libvirt does not know, images that were begun. Runs and finished images are never touched, nor what does not carry our
marker.

\b
Examples:
  vcompare lab doctor
  vcompare lab doctor --fix

\b
Exit codes:
  0    nothing is wrong (any more)
  1    a problem is left""",
)
def lab_doctor(
    fix: t.Annotated[bool, typer.Option("--fix", help="Repair what is ours.")] = False,
    as_json: AsJson = False,
    inventory: InventoryOption = None,
) -> None:
    """Examine the labs."""
    from vcompare_runner.cli import commands

    raise typer.Exit(commands.lab_doctor(fix, as_json, inventory))


@lab_app.command(
    "lock",
    help="""Write down what the nested lab is made of, so that the same lab can be built again.

The lock holds packages and hashes, images, command lines, settings and facts of each node. The packages themselves are
kept in the folder packages/ of the home; with them and the lock a lab is built anywhere, without a mirror.

\b
Examples:
  vcompare lab lock
  vcompare lab lock --lab spare --output spare.lock""",
)
def lab_lock(
    lab: Lab = DEFAULT_LAB,
    output: t.Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")
    ] = Path("lab.lock"),
    inventory: InventoryOption = None,
) -> None:
    """Lock a lab."""
    from vcompare_runner.cli import rebuild

    raise typer.Exit(rebuild.lock(lab, output, inventory))


@lab_app.command(
    "rebuild",
    help="""Destroy the nested lab, and build it from a lock: of the very same packages, without a mirror.

With --verify it is held against the lock: the images bit by bit (A), what each node is made of (B), the facts that
figures depend on (C). The first difference is named.

\b
Examples:
  vcompare lab rebuild --verify
  vcompare lab rebuild --lock spare.lock --lab spare --verify
  VCOMPARE_HOME=/other vcompare lab rebuild --packages /old/packages --verify

\b
Exit codes:
  0    built; with --verify: and the same
  1    it could not be built, or is not the same
  2    wrong usage or input; nothing was destroyed""",
)
def lab_rebuild(
    lab: Lab = DEFAULT_LAB,
    lock: t.Annotated[
        Path, typer.Option("--lock", metavar="FILE", help="Lock to build from.")
    ] = Path("lab.lock"),
    verify: t.Annotated[
        bool, typer.Option("--verify", help="Fail unless it is what the lock says.")
    ] = False,
    packages: t.Annotated[
        list[Path] | None,
        typer.Option(
            "--packages",
            metavar="FOLDER",
            help="Folder with kept packages, beside that of the home. May be given several times.",
        ),
    ] = None,
    inventory: InventoryOption = None,
) -> None:
    """Rebuild a lab."""
    from vcompare_runner.cli import rebuild

    raise typer.Exit(rebuild.rebuild(lab, lock, verify, packages or [], inventory))


def main(arguments: t.Sequence[str] | None = None) -> t.NoReturn:
    """Run the command line and exit.

    Users see messages, never a traceback (but with ``--debug``).
    """
    if arguments is None:
        streams.require_utf8()
    output = streams.prepare()
    code = _run(arguments)
    if output is not None:
        sys.stdout.flush()
        if output.lost:
            warn(f"vcompare: error: standard output can't be written: {output.lost}")
            warn("  remedy: make room there, or send it elsewhere, and call it again")
            code = code or EXIT_FAILED
    sys.exit(code)


def _run(arguments: t.Sequence[str] | None) -> int:
    os.environ.pop(_DEBUG, None)
    try:
        code = app(args=arguments, prog_name="vcompare", standalone_mode=False)
        return code if isinstance(code, int) else EXIT_OK
    except VcompareError as error:
        if _DEBUG in os.environ:
            raise
        show_error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        warn("vcompare: interrupted")
        return EXIT_INTERRUPTED
    except OSError as error:
        if _DEBUG in os.environ or error.filename is None:
            return _other_error(error)
        # Wherever a path of the user's comes to light as one that can't be used.
        warn(f"vcompare: error: {error.filename}: {error.strerror}")
        warn("  remedy: name another path, or make room or give permission there")
        return EXIT_USAGE
    except Exception as error:
        return _other_error(error)


def _other_error(error: Exception) -> int:
    # Typer's own errors (an unknown option) know how to be shown; where their class lives depends
    # on its version.
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        warn(f"vcompare: error: {error.format_message()}")
        context = getattr(error, "ctx", None)
        if context is not None:
            warn(f"  remedy: `{context.command_path} --help` shows what there is")
        return int(error.exit_code)
    if _DEBUG in os.environ:
        raise error
    warn(f"vcompare: internal error: {type(error).__name__}: {error}")
    warn("  remedy: `vcompare --debug …` shows where; please report it")
    return EXIT_FAILED


if __name__ == "__main__":
    main()
