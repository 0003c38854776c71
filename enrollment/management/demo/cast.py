"""Who and what is there before anything happens in the demo."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts import services as accounts
from accounts.models import IncentiveProgram, Location, PartnerAccount, User
from enrollment import services
from enrollment.management.demo.clock import Clock, first_moment
from enrollment.management.demo.files import entries, rows
from enrollment.models import Criterion, FiscalYear, ProgramTerms


class Cast:
    """The demo's companies, places, people and programs, by the names files use."""

    def __init__(self, *, now: datetime):
        self.years = _define_years(now)
        self.clock = Clock(
            now=now,
            began_at=max(
                first_moment(year.starts_on, year.calendar)
                for (_calendar, name), year in self.years.items()
                if name == "current"
            ),
        )
        self.people: dict[str, User] = {}
        self.companies: dict[str, PartnerAccount] = {}
        self.locations: dict[str, Location] = {}
        self.terms: dict[tuple[str, str], ProgramTerms] = {}
        self.add_operators()
        self.define_programs()
        self.add_companies()
        self.add_people()

    def define_programs(self) -> None:
        criteria = {row["code"]: _define_criterion(row) for row in rows("criteria")}
        for entry in entries("programs"):
            program = services.define_program(
                code=entry["code"],
                name=entry["name"],
                summary_en=entry["summary_en"],
                summary_sv=entry["summary_sv"],
            )
            for name in entry["years"]:
                news = entry.get("next_terms", {}) if name == "next" else {}
                self.terms[entry["code"], name] = self.define_terms(
                    program,
                    fiscal_year=self.years[entry["calendar"], name],
                    facts=entry["terms"] | news,
                    criteria=criteria,
                )

    def define_terms(
        self,
        program: IncentiveProgram,
        *,
        fiscal_year: FiscalYear,
        facts: dict[str, Any],
        criteria: dict[str, Criterion],
    ) -> ProgramTerms:
        enroll_by = None
        if offset := facts.get("enroll_by"):
            enroll_by = fiscal_year.calendar.day_at(self.clock.moment(offset))
        return services.define_program_terms(
            program,
            fiscal_year=fiscal_year,
            earning_types=facts["earning_types"],
            requirements=[
                (criteria[code], Decimal(needed))
                for code, needed in facts["requirements"]
            ],
            is_open_to_all=facts.get("is_open_to_all", False),
            is_listed=facts.get("is_listed", True),
            needs_agreement=facts.get("needs_agreement", True),
            countries=facts.get("countries", []),
            bank_countries=[],
            bank_countries_refused=facts.get("bank_countries_refused", []),
            currencies=facts["currencies"],
            pays_local_currency=facts["pays_local_currency"],
            methods=facts["methods"],
            required_tax_details=facts.get("required_tax_details", []),
            enroll_by=enroll_by,
            enroll_within_days=facts.get("enroll_within_days"),
            agreement_version=facts.get("agreement_version", "1"),
            agreement_text_en=facts["agreement_text_en"],
            agreement_text_sv=facts["agreement_text_sv"],
            by=None,
        )

    def add_companies(self) -> None:
        for row in rows("companies"):
            company = accounts.create_partner_account(
                partner_id=row["partner_id"],
                name=row["name"],
                legal_name=row["legal_name"],
                country=row["country"],
                email_domains=row["email_domains"].split(),
                by=None,
            )
            services.record_agreement(
                company,
                starts_on=self.clock.day(row["agreement_from"]),
                ends_on=self.clock.day(row["agreement_until"]),
                by=None,
            )
            self.companies[company.partner_id] = company
        for row in rows("locations"):
            self.locations[row["partner_id"]] = accounts.add_location(
                self.companies[row["company"]],
                partner_id=row["partner_id"],
                name=row["name"],
                country=row["country"],
                street=row["street"],
                postcode=row["postcode"],
                city=row["city"],
                by=None,
            )

    def add_operators(self) -> None:
        for row in rows("operators"):
            self.people[row["email"]] = accounts.add_operator(
                email=row["email"],
                full_name=row["full_name"],
                groups=[name for name in row["groups"].split("|") if name],
                is_superuser=row["superuser"] == "yes",
                is_told=False,
            )

    def add_people(self) -> None:
        for row in rows("people"):
            self.people[row["email"]] = accounts.add_person(
                self.companies[row["company"]],
                email=row["email"],
                full_name=row["full_name"],
                language=row["language"],
                # One of them works for two companies.
                joins_existing=True,
                by=None,
            )
        for row in rows("roles"):
            accounts.assign_roles(
                self.people[row["email"]],
                role=row["role"],
                account=self.companies[row["company"]],
                locations=[self.locations[key] for key in row["locations"].split()],
                by=None,
            )


def _define_years(now: datetime) -> dict[tuple[str, str], FiscalYear]:
    """Define the last, this and the next year of each calendar."""
    years = {}
    for row in rows("calendars"):
        calendar = services.define_fiscal_calendar(
            code=row["code"],
            name=row["name"],
            name_sv=row["name_sv"],
            time_zone=row["time_zone"],
        )
        today, month = calendar.day_at(now), int(row["first_month"])
        began = today.year - (today.month < month)
        for name, year in (
            ("last", began - 1),
            ("current", began),
            ("next", began + 1),
        ):
            ends_on = date(year + 1, month, 1) - timedelta(days=1)
            years[row["code"], name] = services.define_fiscal_year(
                calendar,
                number=ends_on.year,
                starts_on=date(year, month, 1),
                ends_on=ends_on,
            )
    return years


def _define_criterion(row: dict[str, str]) -> Criterion:
    return services.define_criterion(
        code=row["code"],
        kind=row["kind"],
        name_en=row["name_en"],
        name_sv=row["name_sv"],
        how_to_fix_en=row["how_to_fix_en"],
        how_to_fix_sv=row["how_to_fix_sv"],
        unit=row["unit"],
        max_age_days=int(row["max_age_days"]) if row["max_age_days"] else None,
    )
