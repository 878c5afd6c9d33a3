# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What a file of claims may say.

::

    schema: 1
    claims:
      - id: startup                       # unique over all files of a run
        title: A container starts much faster than a virtual machine
        need: start fast                  # what a reader wants who asks for this
        favours: [docker]                 # the arms that a reader should take if it is confirmed
        tests:
          - name: machine-slower          # unique within the claim
            scenario: startup
            metric: time_to_first_reply
            variant: minimal
            arms: [kvm, xen-pv]           # one comparison each
            against: docker
            comparison: ratio
            direction: above
            margin: 2.0
            why: less than twice is not "much faster"
            needed: true                  # without it the claim is neither confirmed nor refuted
            hardware_speed: true          # not decided on emulated hardware
            beside: [xen-dom0]            # shown with its figures, not tested

============== ============================================= =========================
comparison     holds when                                    margin
============== ============================================= =========================
``ratio``      arm / against is ``above`` or ``below`` it    a factor, not 1
``difference`` arm − against is ``above`` or ``below`` it    in ``unit``, not 0
``equivalence`` arm / against is within 1/margin and margin  a factor above 1
``yes_no``     the answer (1 or 0) is ``always`` or          none
               ``never`` yes, in every block
============== ============================================= =========================

``direction`` has no ``yes`` and ``no``, since YAML takes those for true and false.
"""

from __future__ import annotations

import math
import typing as t
from pathlib import Path

import pydantic
import yaml

from vcompare_runner.core import edges
from vcompare_runner.core.errors import UsageError
from vcompare_runner.core.names import did_you_mean

SCHEMA = 1

Comparison = t.Literal["ratio", "difference", "equivalence", "yes_no"]
Direction = t.Literal["above", "below", "always", "never"]

_DIRECTIONS: t.Mapping[str, tuple[str, ...]] = {
    "ratio": ("above", "below"),
    "difference": ("above", "below"),
    "equivalence": (),
    "yes_no": ("always", "never"),
}
# A ratio nearer to 1 than this is not a margin: every difference, however small, would pass it.
_LEAST_FACTOR = 1.01

Id = t.Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Text = t.Annotated[str, pydantic.Field(min_length=1, max_length=500)]
Word = t.Annotated[str, pydantic.Field(min_length=1, max_length=80)]


class _Strict(pydantic.BaseModel):
    """A field that nobody knows is a mistake: a margin under another name would be no margin."""

    model_config = pydantic.ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class ClaimTest(_Strict):
    """One comparison that a claim stands or falls with, for each of ``arms``.

    :param margin: a factor (ratio, equivalence) or in ``unit`` (difference).
    :param needed: without its answer the claim as a whole is left open.
    :param beside: arms whose figures are shown beside, without a test.
    """

    name: Id
    scenario: Word
    metric: Word
    variant: Word = "minimal"
    arms: t.Annotated[list[Word], pydantic.Field(min_length=1)]
    against: Word | None = None
    comparison: Comparison
    margin: edges.Number | None = None
    direction: Direction | None = None
    unit: Word | None = None
    why: Text
    hardware_speed: bool
    needed: bool = False
    beside: list[Word] = []

    @pydantic.model_validator(mode="after")
    def _fits(self) -> t.Self:
        wanted = _DIRECTIONS[self.comparison]
        if wanted and self.direction not in wanted:
            raise ValueError(f"direction: a {self.comparison} needs {' or '.join(wanted)}")
        if not wanted and self.direction is not None:
            raise ValueError(f"direction: an {self.comparison} has none; leave it out")
        self._check_margin()
        if (self.against is None) != (self.comparison == "yes_no"):
            raise ValueError(
                "against: a yes_no asks of one arm alone; leave it out"
                if self.comparison == "yes_no"
                else f"against: a {self.comparison} needs the arm to compare with"
            )
        if self.against in self.arms or self.against in self.beside:
            raise ValueError(f"arms: {self.against} can't be compared with itself")
        doubles = [arm for arm in (*self.arms, *self.beside) if self._count(arm) > 1]
        if doubles:
            raise ValueError(f"arms: {doubles[0]} is named twice")
        return self

    def _count(self, arm: str) -> int:
        return [*self.arms, *self.beside].count(arm)

    def _check_margin(self) -> None:
        margin = self.margin
        if self.comparison == "yes_no":
            if margin is not None:
                raise ValueError("margin: a yes_no has none; leave it out")
            return
        if margin is None:
            raise ValueError(f"margin: a {self.comparison} needs one")
        if self.comparison == "difference":
            if margin == 0:
                raise ValueError("margin: 0 is not a margin; say how large a difference matters")
            if self.unit is None:
                raise ValueError("unit: a difference needs the unit of its margin")
            return
        if margin <= 0 or abs(math.log(margin)) < math.log(_LEAST_FACTOR):
            raise ValueError(
                f"margin: {margin:g} is not a factor to hold a ratio against; name one of "
                f"{_LEAST_FACTOR} or more, or of {1 / _LEAST_FACTOR:.2f} or less"
            )
        if self.comparison == "equivalence" and margin < 1:
            raise ValueError(
                f"margin: {margin:g} is below 1; name the upper end ({1 / margin:.3g}), the lower "
                "one is its inverse"
            )


class Claim(_Strict):
    """A statement and the tests that decide it."""

    id: Id
    title: Text
    need: Word
    favours: list[Word] = []
    tests: t.Annotated[list[ClaimTest], pydantic.Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _names_differ(self) -> t.Self:
        names = [test.name for test in self.tests]
        doubles = [name for name in names if names.count(name) > 1]
        if doubles:
            raise ValueError(f"tests: two tests are named {doubles[0]}")
        return self


class ClaimFile(_Strict):
    """A file of claims."""

    schema_version: t.Literal[1] = pydantic.Field(alias="schema")
    claims: t.Annotated[list[Claim], pydantic.Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _ids_differ(self) -> t.Self:
        ids = [claim.id for claim in self.claims]
        doubles = [each for each in ids if ids.count(each) > 1]
        if doubles:
            raise ValueError(f"claims: two claims have the id {doubles[0]}")
        return self


class _Loader(yaml.SafeLoader):
    """YAML in which a key can't be there twice: the second margin would win without a word."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[t.Any, t.Any]:
    keys = [loader.construct_object(key, deep=True) for key, _value in node.value]
    for key, (key_node, _value) in zip(keys, node.value, strict=True):
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is there twice", key_node.start_mark
            )
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Read a file of claims.

    :raises UsageError: it can't be read, or says what it must not; the message names the file, the
        claim, and the field.
    """
    try:
        data = edges.read_yaml(path, _Loader)
    except OSError as error:
        raise UsageError(
            f"{path} can't be read: {error.strerror}", "name a file of claims"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not YAML: {error}",
            "docs/claims.md shows what a file of claims looks like",
        ) from error
    return parse_claims(data, str(path))


def parse_claims(data: t.Any, source: str) -> tuple[Claim, ...]:
    """Check the content of a file of claims.

    :param source: its name, for messages.
    :raises UsageError: as ``read_claims``.
    """
    try:
        return tuple(ClaimFile.model_validate(data).claims)
    except pydantic.ValidationError as error:
        raise UsageError(*explain(error, data, source)) from error


def merge(files: t.Mapping[str, t.Sequence[Claim]]) -> tuple[Claim, ...]:
    """Put the claims of several files together.

    :raises UsageError: two of them have the same id.
    """
    owner: dict[str, str] = {}
    for source, claims in files.items():
        for claim in claims:
            if claim.id in owner:
                raise UsageError(
                    f"{source}: claim '{claim.id}': id: {owner[claim.id]} has a claim of "
                    "that id already",
                    "give yours another id: a claim is never replaced by another",
                )
            owner[claim.id] = source
    return tuple(claim for claims in files.values() for claim in claims)


def check_words(claims: t.Sequence[Claim], known: t.Sequence[Claim], source: str) -> None:
    """Check that claims speak of scenarios, metrics and arms that some claim in ``known`` has.

    A misspelt scenario would come out as NOT RUN, hours later.

    :raises UsageError: one is unknown; the message says which ones there are.
    """
    tests = [test for claim in known for test in claim.tests]
    metrics: dict[str, set[str]] = {}
    arms: set[str] = set()
    for test in tests:
        metrics.setdefault(test.scenario, set()).add(test.metric)
        arms |= {*test.arms, *test.beside} | ({test.against} if test.against else set())
    for claim in claims:
        for test in claim.tests:
            where = f"{source}: claim '{claim.id}': test '{test.name}'"
            _check(where, "scenario", [test.scenario], metrics)
            _check(where, "metric", [test.metric], metrics[test.scenario])
            _check(where, "arms", test.arms, arms)
            _check(where, "beside", test.beside, arms)
            _check(where, "against", [test.against] if test.against else [], arms)


def _check(where: str, field: str, words: t.Iterable[str], known: t.Collection[str]) -> None:
    for word in words:
        if word not in known:
            guess = did_you_mean(word, known)
            raise UsageError(
                f"{where}: {field}: '{word}' is unknown",
                " ".join(part for part in (guess, f"known: {', '.join(sorted(known))}") if part),
            )


_PLAIN: t.Mapping[str, str] = {
    "extra_forbidden": "there is no such field",
    "missing": "it is missing",
}


def explain(error: pydantic.ValidationError, data: t.Any, source: str) -> tuple[str, str]:
    """Say what is wrong with a file of claims: message and remedy."""
    first = error.errors(include_url=False)[0]
    where, field = _place(first["loc"], data)
    kind = first["type"]
    text = _PLAIN.get(kind, str(first["msg"]))
    own = str(first["ctx"]["error"]) if kind == "value_error" else None
    if own:
        # Ours begin with the field: the model as a whole has none.
        field, _colon, text = own.partition(": ")
    remedy = _remedy(kind, field, first)
    more = error.error_count() - 1
    message = f"{source}: {where}{field + ': ' if field else ''}{text}"
    return message + (f" (and {more} more)" if more else ""), remedy


def _place(loc: t.Sequence[int | str], data: t.Any) -> tuple[str, str]:
    """Return the words for claim and test that a place is in, and the field."""
    words, field, here = "", "", data
    for part in loc:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(part, int) and field == "claims":
            words += f"claim {_name(here, 'id', part)}: "
            field = ""
        elif isinstance(part, int) and field == "tests":
            words += f"test {_name(here, 'name', part)}: "
            field = ""
        else:
            field = str(part) if not field else f"{field}.{part}"
    return words, field


def _name(record: t.Any, key: str, number: int) -> str:
    name = record.get(key) if isinstance(record, dict) else None
    return f"'{name}'" if isinstance(name, str) else f"number {number + 1}"


def _remedy(kind: str, field: str, error: t.Any) -> str:
    if kind == "missing":
        return f"add {field}"
    if kind == "extra_forbidden":
        last = field.rpartition(".")[2]
        known = {
            name
            for model in (ClaimFile, Claim, ClaimTest)
            for name in model.model_fields
            if name != "schema_version"
        }
        return did_you_mean(last, known) or f"leave {last} out"
    if kind == "literal_error":
        return f"choose from {error['ctx']['expected']}"
    if kind == "string_pattern_mismatch":
        return "use small letters, digits and hyphens, up to 40"
    return "docs/claims.md says what each field may be"
