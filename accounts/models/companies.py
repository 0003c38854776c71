"""Companies, their locations, and the identity of incentive programs."""

from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Case, Count, Exists, IntegerField, OuterRef, Q, When
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.roles import Permission, roles_with
from accounts.scoping import Scope, ScopedQuerySet

partner_id_format = RegexValidator(
    r"^[0-9]{5,10}\Z", _("A PartnerID has 5 to 10 digits, like 6120102.")
)
country_format = RegexValidator(
    r"^[A-Z]{2}\Z", _("Use the two capital letters of the country, like SE.")
)
program_code_format = RegexValidator(
    r"^[A-Z][A-Z0-9-]{1,19}\Z",
    _("A program code has capital letters, digits and dashes, like CSP-DB."),
)


class PartnerAccountQuerySet(ScopedQuerySet):
    scope = Scope(account="pk")
    view_permission = Permission.LOCATION_VIEW

    def with_member(self, user) -> Self:
        """Companies the person belongs to, with or without a role in them."""
        return self.filter(memberships__user=user, memberships__ended_at=None)


class PartnerAccount(models.Model):
    """A company that takes part: the head office with the global PartnerID.

    Enrollments and payouts attach to its locations, never to it (domain.md §1.1, R17).
    """

    partner_id = models.CharField(
        _("global PartnerID"),
        max_length=10,
        unique=True,
        validators=[partner_id_format],
    )
    name = models.CharField(_("name"), max_length=120)
    legal_name = models.CharField(_("legal name"), max_length=200)
    country = models.CharField(_("country"), max_length=2, validators=[country_format])
    email_domains = ArrayField(
        models.CharField(max_length=253),
        verbose_name=_("e-mail domains"),
        default=list,
        blank=True,
        help_text=_("People with other addresses are guests: no incentive roles."),
    )
    must_migrate = models.BooleanField(
        _("must migrate first"),
        default=False,
        help_text=_("The 2021 rule: enrollment waits for the migration (R72)."),
    )
    migrated_at = models.DateTimeField(_("migrated at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = PartnerAccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("company")
        verbose_name_plural = _("companies")
        ordering = ("name", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(partner_id__regex=r"^[0-9]{5,10}$"),
                name="%(app_label)s_%(class)s_partner_id_is_digits",
            ),
            models.CheckConstraint(
                condition=Q(country__regex=r"^[A-Z]{2}$"),
                name="%(app_label)s_%(class)s_country_is_two_letters",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.partner_id})"

    @property
    def awaits_migration(self) -> bool:
        """Whether the 2021 prerequisite is on for this company and not met (R72)."""
        return self.must_migrate and self.migrated_at is None

    def welcomes(self, email: str) -> bool:
        """Whether an address is of one of the company's own domains (R14)."""
        return email.rpartition("@")[2].lower() in self.email_domains


class Coverage(models.IntegerChoices):
    """How many people can enroll a location, worst first (experience.md P15)."""

    NOBODY = 0, _("Nobody")
    # Every role there is limited to a program: nobody for the others.
    SOME_PROGRAMS = 1, _("Some programs only")
    ONE_PERSON = 2, _("One person")
    COVERED = 3, _("Covered")


# True of every row, without a question.
_ALWAYS = ~Q(pk__in=[])


class LocationQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account", location="pk")
    view_permission = Permission.LOCATION_VIEW

    def active(self) -> Self:
        """Locations that can still earn."""
        return self.filter(closed_at=None)

    def closing_asked(self) -> Self:
        """Locations whose company asked to close them and has no answer yet."""
        return self.active().filter(closing_asked_at__isnull=False)

    def for_pages(self) -> Self:
        """With the company, and with who asked to close it."""
        return self.select_related("partner_account", "closing_asked_by")

    def enrollers_everywhere(self, account: PartnerAccount | int, *, besides=()):
        """Return the keys of the people who can enroll every location of a company."""
        return self._enrolling(account, besides).filter(location=None).values("user")

    def with_coverage(
        self,
        account: PartnerAccount | int,
        *,
        besides=(),
        joining=(),
        is_partly=False,
        everywhere=None,
        name: str = "coverage",
    ) -> Self:
        """Annotate a company's locations with how many people can enroll each (R6).

        A role limited to a program covers that program only, so it is not counted as
        somebody who can enroll the location. `besides` are assignments not to count;
        `joining` are people to count as if they were Incentives admins of every row,
        for some programs only if `is_partly`. `everywhere` are the first two of
        enrollers_everywhere(), for who knows them; they are asked for at once, because
        what is left to ask about the locations depends on them.

        Asked as questions about the whole company, whose answers each row looks up:
        asked row by row, thousands of locations take seconds.
        """
        is_covered, is_one, is_some = self._covering_people(
            account, besides, joining, is_partly, everywhere
        )
        return self.of_company(account).annotate(
            **{
                name: Case(
                    When(is_covered, then=Coverage.COVERED),
                    When(is_one, then=Coverage.ONE_PERSON),
                    When(is_some, then=Coverage.SOME_PROGRAMS),
                    default=Coverage.NOBODY,
                    output_field=IntegerField(),
                )
            }
        )

    def gaps(self, account: PartnerAccount | int, *, everywhere=None) -> Self:
        """Those that fewer than two people can enroll in all programs, worst first."""
        return (
            self.with_coverage(account, everywhere=everywhere)
            .exclude(self.is_covered(account, everywhere=everywhere))
            .order_by("coverage", "name", "pk")
        )

    def is_covered(self, account: PartnerAccount | int, *, everywhere=None) -> Q:
        """Whether two people can enroll a location in all programs: no gap (R6)."""
        return self._covering_people(account, everywhere=everywhere)[0]

    def _enrolling(self, account, besides):
        """The roles that let somebody enroll something of a company."""
        roles = (
            self._assignments()
            .of_company(account)
            .filter(role__in=roles_with(Permission.ENROLLMENT_EDIT))
            .order_by()
        )
        kept = [assignment.pk for assignment in besides]
        return roles.exclude(pk__in=kept) if kept else roles

    def _covering_people(
        self, account, besides=(), joining=(), is_partly=False, everywhere=None
    ) -> tuple[Q, Q, Q]:
        """Whether two people can enroll a location, or one, or somebody in part.

        People with several roles count once, those of the whole company there.
        """
        counted = set() if is_partly else set(joining)
        if everywhere is None and len(counted) < 2:
            found = self.enrollers_everywhere(account, besides=besides)
            found = found.exclude(user__in=counted).values_list("user", flat=True)
            everywhere = found.distinct()[:2]
        counted.update(everywhere or ())
        if len(counted) >= 2:
            return _ALWAYS, _ALWAYS, _ALWAYS
        enrolling = self._enrolling(account, besides).exclude(location=None)
        here = enrolling.filter(program=None).values("location")
        if counted:
            here = here.exclude(user__in=counted)
            return Q(pk__in=here), _ALWAYS, _ALWAYS
        two = here.annotate(people=Count("user", distinct=True)).filter(people__gte=2)
        is_some = Q(pk__in=enrolling.values("location")) if not joining else _ALWAYS
        return Q(pk__in=two.values("location")), Q(pk__in=here), is_some

    def get_by_partner_id(self, partner_id: str) -> "Location":
        """Return the location with a PartnerID.

        Raises ValidationError when it is unknown, and with its own words when it is
        a company's global PartnerID, which cannot be enrolled (R17).
        """
        location = self.filter(partner_id=partner_id).first()
        if location is not None:
            return location
        if PartnerAccount.objects.filter(partner_id=partner_id).exists():
            raise ValidationError(
                _(
                    "%(partner_id)s is a global PartnerID. Incentives are for "
                    "locations: give the PartnerID of one of the company's locations."
                ),
                code="global_partner_id",
                params={"partner_id": partner_id},
            )
        raise ValidationError(
            _("No location has the PartnerID %(partner_id)s."),
            code="unknown_partner_id",
            params={"partner_id": partner_id},
        )


class Location(models.Model):
    """A branch of a company, with its own PartnerID; enrollments attach here."""

    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="locations",
        verbose_name=_("company"),
    )
    partner_id = models.CharField(
        _("PartnerID"), max_length=10, unique=True, validators=[partner_id_format]
    )
    name = models.CharField(_("name"), max_length=120)
    legal_name = models.CharField(_("legal name"), max_length=200)
    country = models.CharField(_("country"), max_length=2, validators=[country_format])
    street = models.CharField(_("street address"), max_length=200, blank=True)
    postcode = models.CharField(_("postcode"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=120, blank=True)
    # Asked for by the company, decided by the program owner; withdrawn leaves no row.
    closing_asked_at = models.DateTimeField(
        _("closing asked for at"), null=True, blank=True
    )
    closing_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="closings_asked_for",
        verbose_name=_("closing asked for by"),
    )
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    # Why it is to be closed, then why it was.
    closing_reason = models.CharField(
        _("reason for closing"), max_length=400, blank=True
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = LocationQuerySet.as_manager()

    class Meta:
        verbose_name = _("location")
        verbose_name_plural = _("locations")
        ordering = ("name", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(partner_id__regex=r"^[0-9]{5,10}$"),
                name="%(app_label)s_%(class)s_partner_id_is_digits",
            ),
            models.CheckConstraint(
                condition=Q(country__regex=r"^[A-Z]{2}$"),
                name="%(app_label)s_%(class)s_country_is_two_letters",
            ),
            # Target of the composite foreign keys that keep a location and its
            # company together in other tables.
            models.UniqueConstraint(
                fields=["id", "partner_account"],
                name="%(app_label)s_%(class)s_with_its_company",
            ),
            models.CheckConstraint(
                condition=Q(closing_asked_at=None, closing_asked_by=None)
                | Q(closing_asked_at__isnull=False, closing_asked_by__isnull=False),
                name="%(app_label)s_%(class)s_closing_is_asked_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(closing_asked_at=None) | Q(closed_at=None),
                name="%(app_label)s_%(class)s_closed_is_answered",
            ),
            models.CheckConstraint(
                condition=Q(closing_asked_at=None) | ~Q(closing_reason=""),
                name="%(app_label)s_%(class)s_closing_is_asked_with_a_reason",
            ),
        ]
        indexes = [
            models.Index(
                fields=["partner_account", "name", "id"],
                name="accounts_places_by_name",
            ),
            models.Index(
                fields=["closing_asked_at", "id"],
                condition=Q(closed_at=None, closing_asked_at__isnull=False),
                name="accounts_places_to_close",
            ),
        ]
        permissions = [("close_location", "Can close locations")]

    def __str__(self) -> str:
        return f"{self.name} ({self.partner_id})"

    def get_absolute_url(self) -> str:
        return reverse("enrollment:location", kwargs={"pk": self.pk})

    @property
    def is_closed(self) -> bool:
        return self.closed_at is not None

    @property
    def is_closing_asked(self) -> bool:
        """The company asked for it; the program owner has not answered yet."""
        return self.closing_asked_at is not None


class IncentiveProgramQuerySet(models.QuerySet):
    def known_to(self, *accounts: PartnerAccount) -> Self:
        """Programs companies may hear of: listed, or invited to, or in their roles.

        The years of a program and its enrollments are enrollment's; only their names
        are used here, so that a form of roles tells of no unlisted program.
        """
        reasons = (
            # Nothing is known of one whose first terms are being written.
            Q(terms=None, terms_drafts=None),
            Q(terms__is_listed=True),
            Q(terms__is_open_to_all=True),
            Q(terms__enrollments__location__partner_account__in=accounts),
            Q(role_assignments__partner_account__in=accounts),
        )
        is_known = Q()
        for reason in reasons:
            is_known |= Q(Exists(self._same_program().filter(reason)))
        return self.filter(is_known, discontinued_at=None)

    def _same_program(self) -> Self:
        return self.model._default_manager.filter(pk=OuterRef("pk")).order_by()


class IncentiveProgram(models.Model):
    """A scheme locations can enroll in: its identity.

    What it asks and allows in a year is enrollment's ProgramTerms. It stands here
    because roles are limited to programs.
    """

    code = models.CharField(
        _("code"), max_length=20, unique=True, validators=[program_code_format]
    )
    name = models.CharField(_("name"), max_length=120)
    summary_en = models.CharField(_("summary (English)"), max_length=400, blank=True)
    summary_sv = models.CharField(_("summary (Swedish)"), max_length=400, blank=True)
    discontinued_at = models.DateTimeField(_("discontinued at"), null=True, blank=True)

    objects = IncentiveProgramQuerySet.as_manager()

    class Meta:
        verbose_name = _("incentive program")
        verbose_name_plural = _("incentive programs")
        ordering = ("name", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(code__regex=r"^[A-Z][A-Z0-9-]{1,19}$"),
                name="%(app_label)s_%(class)s_code_is_plain",
            ),
        ]

    def __str__(self) -> str:
        return self.name
