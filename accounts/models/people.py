"""People and the companies they belong to."""

from collections.abc import Iterator
from typing import Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from accounts.models.companies import PartnerAccount
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from accounts.text import normalize_email


class Language(models.TextChoices):
    """A language the portal speaks; each name in its own tongue."""

    ENGLISH = "en", "English"
    SWEDISH = "sv", "Svenska"


class UserQuerySet(models.QuerySet):
    def members_of(self, account: PartnerAccount) -> Self:
        """People who belong to a company now and may sign in."""
        members = Membership.objects.current().of_company(account)
        return self.filter(pk__in=members.values("user_id"))


class UserManager(BaseUserManager.from_queryset(UserQuerySet)):
    """Makes people; addresses are stored in lower case, so one address is one person."""

    def create_user(self, email: str, password: str | None = None, **fields) -> "User":
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields):
        return self.create_user(
            email, password, **{"is_staff": True, "is_superuser": True} | fields
        )

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """The one form of an address; what is no address is only lower-cased."""
        try:
            return normalize_email(email or "")
        except ValidationError:
            return (email or "").strip().lower()

    def get_by_natural_key(self, email: str) -> "User":
        return self.get(email=self.normalize_email(email))


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in: of a partner company, or an operator (`is_staff`)."""

    email = models.EmailField(
        _("e-mail address"),
        unique=True,
        error_messages={"unique": _("A person with this address exists already.")},
    )
    full_name = models.CharField(_("full name"), max_length=120)
    language = models.CharField(
        _("language"), max_length=2, choices=Language, default=Language.ENGLISH
    )
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(
        _("operator"),
        default=False,
        help_text=_("Works for the program owner; belongs to no partner company."),
    )
    # Counts up to sign the person out everywhere: sessions know the number they are of.
    session_epoch = models.PositiveIntegerField(default=0, editable=False)
    date_joined = models.DateTimeField(_("added at"), auto_now_add=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["full_name"]

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        ordering = ("full_name", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(email=Lower("email")),
                name="%(app_label)s_%(class)s_email_is_lower_case",
            ),
            models.CheckConstraint(
                condition=Q(language__in=Language.values),
                name="%(app_label)s_%(class)s_language_is_known",
            ),
        ]
        # Lists of people go on by name from where the page before ended.
        indexes = [models.Index(fields=["full_name", "id"], name="accounts_by_name")]

    def __str__(self) -> str:
        return self.full_name or self.email

    def get_session_auth_hash(self) -> str:
        return f"{super().get_session_auth_hash()}.{self.session_epoch}"

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        for older in super().get_session_auth_fallback_hash():
            yield f"{older}.{self.session_epoch}"

    def get_full_name(self) -> str:
        return self.full_name

    def get_short_name(self) -> str:
        return self.full_name.partition(" ")[0]

    @property
    def initials(self) -> str:
        """The first letters of the first and the last name."""
        names = self.full_name.split()
        return "".join(name[0] for name in names[:1] + names[1:][-1:]).upper()


class MembershipQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PERSON_VIEW

    def current(self) -> Self:
        """Memberships that have not ended, of people who may sign in."""
        return self.filter(ended_at=None, user__is_active=True)

    def for_pages(self) -> Self:
        """With the person, the company, and who added them."""
        return self.select_related("user", "partner_account", "added_by")


class Membership(models.Model):
    """A person belongs to a company. It grants nothing: roles do."""

    user = models.ForeignKey(
        User, models.PROTECT, related_name="memberships", verbose_name=_("person")
    )
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="memberships",
        verbose_name=_("company"),
    )
    added_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="memberships_added",
        verbose_name=_("added by"),
    )
    added_at = models.DateTimeField(_("added at"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["user", "partner_account"],
                condition=Q(ended_at=None),
                name="%(app_label)s_%(class)s_once_per_company",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.partner_account_id}"
