"""What pages say of a profile's details: masked, in sections, reasons at the fields."""

from dataclasses import dataclass

from django.utils.functional import Promise

from profiles.countries.fields import SECTIONS
from profiles.models import ProfileVersion
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
    schema = version.schema
    given = given_reasons(version)
    found = {}
    for spec in schema.fields if schema else ():
        value = version.details.get(spec.key, "")
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
