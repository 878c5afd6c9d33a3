# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The report: a pure function of the bundle.

The same bundle gives the same bytes, on any day and machine.

=============== ==========================================================
``index.html``  for reading: one file, no network, no JavaScript
``report.md``   the same for a merge request or a wiki
``report.json`` the same for programs (see ``model.build``)
``samples.csv`` every sample, with whether it counts and why not
``junit.xml``   the verdicts, a test case a claim (see ``junit``)
=============== ==========================================================
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from vcompare_runner.analysis.gates import judge_gates
from vcompare_runner.analysis.statistics import analyse
from vcompare_runner.bundle.join import join
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.core.edges import WRITE_REMEDY, replacing
from vcompare_runner.core.errors import VcompareError
from vcompare_runner.report import gates_section, html, junit, markdown, model, table
from vcompare_runner.verdict.declared import catalogue_of
from vcompare_runner.verdict.judge import judge

INDEX = "index.html"


def write_report(bundle_dir: Path, output: Path | None = None) -> Path:
    """Make the report of a bundle.

    :param bundle_dir: the bundle's folder; nothing in it is changed but ``report/``.
    :param output: folder to write to; ``report/`` of the bundle by default. It is made when it is
        missing.
    :returns: path of ``index.html``.
    :raises BundleError: the bundle is missing or broken.
    :raises VcompareError: the output folder can't be written.
    """
    return write_report_of(
        load_bundle(Path(bundle_dir)), Path(output) if output else Path(bundle_dir) / "report"
    )


def write_joined_report(bundle_dirs: t.Sequence[Path], output: Path) -> Path:
    """Make one report of several bundles; see ``join`` for what they must have in common.

    :param output: folder to write to: a report of several belongs to none of them.
    :returns: path of ``index.html``.
    :raises BundleError: a bundle is missing or broken.
    :raises UsageError: they can't be read together.
    """
    return write_report_of(join([load_bundle(Path(each)) for each in bundle_dirs]), Path(output))


def write_report_of(bundle: Bundle, output: Path) -> Path:
    """Make the report of a bundle that is loaded already; see ``write_report``."""
    report = build_report(bundle)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VcompareError(
            f"the report can't be written to {output}: {error.strerror}", WRITE_REMEDY
        ) from error
    _write(output / "report.json", model.to_json(report))
    _write(output / "report.md", markdown.render(report))
    _write(output / "junit.xml", junit.render(report))
    table.write_samples(bundle.samples, output / "samples.csv")
    # Last, so that a report that can be opened is a whole one.
    return _write(output / INDEX, html.render(report))


def build_report(bundle: Bundle) -> model.Report:
    """Compute figures, gates and verdicts of a bundle: the content of its report.

    :raises BundleError: the claims in its manifest can't be trusted.
    """
    figures = analyse(bundle)
    gates = judge_gates(bundle, figures)
    catalogue = catalogue_of(bundle.manifest)
    claims = judge(bundle, figures, catalogue, gates)
    return gates_section.add(model.build(bundle, figures, catalogue, claims), gates)


def _write(path: Path, text: str) -> Path:
    """Replace a file in one step.

    Whoever reads it meanwhile sees the old or the new one, never half of it.
    """
    with replacing(path, WRITE_REMEDY) as file:
        file.write(text)
    return path
