"""What pages say of a profile's details: masked, in sections, reasons at the fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from profiles import countries
from profiles.countries import CountrySchema, FieldSpec
from profiles.countries.fields import SECTIONS
from profiles.countries.tax_forms import answers_schema
from profiles.models import (
    BankProfileDraft,
    PreparedPart,
    ProfileVersion,
    TaxProfileDraft,
)
from profiles.reasons import ExplainedReason, explained


@dataclass(frozen=True)
class ShownDetail:
    """One detail as people read it; of a number only the end (R59)."""

    key: str
    label: Promise | str
    value: str
    is_secret: bool
    reasons: tuple[ExplainedReason, ...] = ()


@dataclass(frozen=True)
class ShownSection:
    """Details that belong together, under their heading."""

    title: Promise | str
    details: list[ShownDetail]


def expired_on(version: ProfileVersion | None, *, today: date) -> date | None:
    """Return the last day of a version in force whose tax form is over; else nothing."""
    if version is None or not version.is_expired(today):
        return None
    return version.expires_on


def given_reasons(version: ProfileVersion | None) -> list[ExplainedReason]:
    """Return why a version was returned; nothing for any other version."""
    if version is None or not version.is_returned:
        return []
    return explained(version.returned, country=version.country)


def general_reasons(version: ProfileVersion | None) -> list[ExplainedReason]:
    """Return the reasons about the whole profile, such as its country or a document."""
    schema = version.schema if version is not None else None
    return [
        reason
        for reason in given_reasons(version)
        if schema is None or schema.field(reason.field) is None
    ]


def shown_sections(version: ProfileVersion) -> list[ShownSection]:
    """Return what was sent, as far as it was filled in or is asked for again."""
    return _sections(version.schema, version.details, given_reasons(version))


def shown_draft(draft: TaxProfileDraft) -> list[ShownSection]:
    """Return what was filled in of a draft so far; numbers masked (R59)."""
    return _sections(countries.tax_schema(draft.country), draft.details)


def shown_part(part: PreparedPart) -> list[ShownSection]:
    """Return what a colleague filled in; numbers masked (R59)."""
    return _sections(part.schema if part.country else None, part.details)


def shown_answers(country: str, setup: Mapping[str, str]) -> list[ShownDetail]:
    """Return the answers that decided on a tax form, and what the form asked."""
    return [
        ShownDetail(spec.key, spec.label, spec.shown(setup[spec.key]), is_secret=False)
        for spec in answers_schema(country).fields
        if setup.get(spec.key)
    ]


def _sections(
    schema: CountrySchema | None,
    details: Mapping[str, str],
    given: Iterable[ExplainedReason] = (),
) -> list[ShownSection]:
    found = {}
    for spec in schema.fields if schema else ():
        value = details.get(spec.key, "")
        about = tuple(reason for reason in given if reason.field == spec.key)
        if value or about:
            detail = ShownDetail(
                key=spec.key,
                label=spec.label,
                value=spec.masked(value) if value else "",
                is_secret=spec.is_secret,
                reasons=about,
            )
            found.setdefault(spec.section, []).append(detail)
    return [ShownSection(SECTIONS[name], details) for name, details in found.items()]


def draft_sections(draft: BankProfileDraft, section: str) -> list[ShownSection]:
    """Return what a draft says in one section of its schema: numbers masked (R59)."""
    schema = countries.bank_schema(draft.country)
    details = [
        ShownDetail(
            spec.key,
            spec.label,
            spec.masked(draft.details[spec.key]),
            is_secret=spec.is_secret,
        )
        for spec in schema.section(section)
        if draft.details.get(spec.key)
    ]
    return [ShownSection(SECTIONS[section], details)]


@dataclass(frozen=True)
class Need:
    """One thing to have at hand before a form is begun, and where it is found."""

    label: Promise | str
    hint: Promise | str
    # What it looks like; nothing where the hint says so.
    example: str
    # What there is to choose from.
    answers: str
    is_required: bool
    # "Province or territory: Québec", where it is asked for that answer only.
    only_if: str


@dataclass(frozen=True)
class NeededSection:
    """Things of one section of a form, under its heading."""

    title: Promise | str
    needs: list[Need]


def needed_sections(schema: CountrySchema) -> list[NeededSection]:
    """Return what a country's form will ask, in its order: the same data (rank 5)."""
    found = {}
    for spec in schema.fields:
        answers = " / ".join(str(label) for _answer, label in spec.choices)
        need = Need(
            label=spec.label,
            hint=spec.hint,
            example="" if spec.example in str(spec.hint) else spec.example,
            answers=answers,
            is_required=spec.is_required,
            only_if=_only_if(schema, spec),
        )
        found.setdefault(spec.section, []).append(need)
    return [NeededSection(SECTIONS[name], needs) for name, needs in found.items()]


def finance_text(parts: list[tuple[str, list[NeededSection]]]) -> str:
    """Return the same as plain text with room for answers, to send to a colleague."""
    lines = []
    for title, sections in parts:
        lines += [title, ""]
        for section in sections:
            for need in section.needs:
                about = [need.only_if, "" if need.is_required else _("optional")]
                about = ", ".join(part for part in about if part)
                lines.append(f"{need.label}{f' ({about})' if about else ''}:")
                if need.hint:
                    lines.append(f"    {need.hint}")
            lines.append("")
    return "\n".join(lines).rstrip()


def _only_if(schema: CountrySchema, spec: FieldSpec) -> str:
    if spec.only_if is None:
        return ""
    question = schema.field(spec.only_if[0])
    return _("%(question)s: %(answer)s") % {
        "question": question.label,
        "answer": dict(question.choices)[spec.only_if[1]],
    }


def whole_numbers(version: ProfileVersion) -> list[ShownDetail]:
    """Return the details that other pages mask; for whom the service let read them."""
    schema = version.schema
    return [
        ShownDetail(
            spec.key, spec.label, spec.shown(version.details[spec.key]), is_secret=True
        )
        for spec in (schema.fields if schema else ())
        if spec.is_secret and version.details.get(spec.key)
    ]
