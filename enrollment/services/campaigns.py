"""Campaigns: plan, confirm, hold, run in ranges, pause, stop; nothing happens twice.

The audience is one question (enrollment/audience.py), compiled into the statements that
write it. Each range moves the campaign on in its own transaction, so that a worker
killed anywhere has done it or has not; constraints keep a second worker from writing
it again. `at` is now.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import outbox
from accounts.models import (
    AuditAction,
    Location,
    MailStatus,
    OutgoingEmail,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import Permission, Role, roles_with
from accounts.services import record_audit_event
from accounts.text import clean_text
from accounts.time_limits import at_length
from enrollment import emails
from enrollment.audience import (
    audience,
    audience_to_write,
    comes_back,
    count_people,
    end_of_range,
    mailed,
    not_told,
    problems_of_words,
)
from enrollment.campaign_mails import preview_of
from enrollment.eligibility import why_not_inviting
from enrollment.models import (
    HOLD,
    Campaign,
    CampaignStatus,
    CampaignStep,
    Enrollment,
    EnrollmentEvent,
    Invitation,
    ProgramTerms,
)
from enrollment.services.choosing import first_method
from enrollment.services.invitations import (
    hold_values,
    lock_terms,
    untold,
    with_holders,
)
from enrollment.states import EnrollmentStatus

# Tried: smaller ranges are more round trips, larger ones more memory of the server.
LOCATIONS_AT_ONCE = 20_000
PEOPLE_AT_ONCE = 20_000
COMPANIES_AT_ONCE = 50
MAILS_AT_ONCE = 10_000
WORDS = ("words_en", "words_sv")
CHANGEABLE = (
    "countries",
    "partner_ids",
    *WORDS,
    "send_at",
    "mails_per_hour",
)
# More people than confirmed, by this share: somebody looks again first. Percent.
MOST_MORE = 5
ON_THE_WAY = (MailStatus.HELD, MailStatus.SENDING)


# --- Planning ------------------------------------------------------------------------


@transaction.atomic
def plan_campaign(terms: ProgramTerms, *, by: User | None) -> Campaign:
    """Begin a draft of a campaign for a program's year; nothing is sent by it.

    Raises ValidationError where nobody is invited to the program now (R26).
    """
    reason = why_not_inviting(terms, on=terms.today())
    if reason:
        raise ValidationError(reason, code="closed")
    campaign = Campaign.objects.create(terms=terms, created_by=by)
    _record(campaign, AuditAction.CAMPAIGN_PLANNED, by=by)
    return campaign


@transaction.atomic
def change_campaign(campaign: Campaign, *, by: User | None, **facts: Any) -> Campaign:
    """Change a draft's filters, words and times; only what differs is written.

    Unknown variables may stand in a draft; they keep it from being sent. Raises
    ValidationError when it is no draft any more, or words hold what cannot be seen.
    """
    campaign = _draft(campaign)
    for name in facts.keys() & WORDS:
        facts[name] = _clean_words(facts[name])
    before = {name: getattr(campaign, name) for name in CHANGEABLE}
    changed = {
        name: value
        for name, value in facts.items()
        if name in CHANGEABLE and before[name] != value
    }
    if not changed:
        return campaign
    for name, value in changed.items():
        setattr(campaign, name, value)
    campaign.save(update_fields=list(changed))
    _record(
        campaign,
        AuditAction.CAMPAIGN_CHANGED,
        by=by,
        before={name: _plain(before[name]) for name in changed},
        after={name: _plain(value) for name, value in changed.items()},
    )
    return campaign


@transaction.atomic
def discard_campaign(campaign: Campaign, *, by: User | None) -> None:
    """Throw a draft away. Raises ValidationError when it is no draft any more."""
    campaign = _draft(campaign)
    _record(campaign, AuditAction.CAMPAIGN_DISCARDED, by=by)
    campaign.delete()


@transaction.atomic
def send_test(
    campaign: Campaign, person: User, *, language: str, by: User
) -> OutgoingEmail:
    """Mail an operator what a person would get; it leads nowhere and mutes nothing.

    Raises ValidationError when the person is not among the campaign's recipients, or
    the words hold a variable that nothing fills in.
    """
    _refuse_unknown_variables(campaign)
    mail = preview_of(campaign, person, language=language, to=by)
    if mail is None:
        raise ValidationError(
            _("%(person)s gets no mail of this campaign. Choose somebody who does."),
            code="no_recipient",
            params={"person": person.full_name},
        )
    mail.to_user = by
    return outbox.queue_many([mail])[0]


# --- Sending -------------------------------------------------------------------------


@transaction.atomic
@at_length()
def confirm_campaign(
    campaign: Campaign,
    *,
    people: int,
    seen: str | None = None,
    by: User | None,
    at: datetime | None = None,
) -> Campaign:
    """Send a campaign to exactly so many people, a minute from now at the earliest.

    Until then, and until `send_at`, it can be taken back and nothing has happened.
    `seen` is the digest of the draft that somebody looked at. Raises ValidationError
    when the draft or the number is another one by now, a variable is unknown, nobody is
    left to invite, mails would leave after the last day to enroll, or another campaign
    for the program is under way.
    """
    at = at or timezone.now()
    campaign = _draft(campaign)
    if seen is not None and seen != campaign.digest:
        raise ValidationError(
            _("Somebody changed this draft meanwhile. Look again, then send."),
            code="changed",
        )
    terms = campaign.terms
    today = terms.fiscal_year.calendar.day_at(at)
    starts_at = max(at + HOLD, campaign.send_at or at)
    for day in (today, terms.fiscal_year.calendar.day_at(starts_at)):
        reason = why_not_inviting(terms, on=day)
        if reason:
            raise ValidationError(reason, code="closed")
    _refuse_unknown_variables(campaign)
    _refuse_half_words(campaign)
    _refuse_too_slow(campaign, people=people, starts_at=starts_at)
    if Campaign.objects.under_way().filter(terms=terms).exists():
        raise ValidationError(
            _("Another campaign for %(program)s is under way. Wait until it is done."),
            code="busy",
            params={"program": terms.program.name},
        )
    now_people = count_people(campaign, on=today)
    if now_people != people:
        raise ValidationError(
            ngettext(
                "It is %(count)d person now. Look again, then send.",
                "It is %(count)d people now. Look again, then send.",
                now_people,
            ),
            code="other_number",
            params={"count": now_people},
        )
    if not people and not _is_anybody_left(campaign, at=at):
        raise ValidationError(_("No one is waiting for an invitation."), code="nobody")
    campaign.status = CampaignStatus.SCHEDULED
    campaign.people_count = people
    campaign.confirmed_at, campaign.confirmed_by = at, by
    campaign.starts_at = starts_at
    campaign.ended_because = ""
    campaign.save(
        update_fields=[
            "status", "people_count", "confirmed_at", "confirmed_by", "starts_at",
            "ended_because",
        ]
    )  # fmt: skip
    _record(
        campaign,
        AuditAction.CAMPAIGN_CONFIRMED,
        by=by,
        after={"people": people, "starts_at": starts_at.isoformat()},
    )
    return campaign


@transaction.atomic
@at_length()
def stop_campaign(
    campaign: Campaign, *, by: User | None, at: datetime | None = None, why: str = ""
) -> Campaign:
    """Take back what has not begun; let nothing more leave of what has.

    In the hold it becomes a draft again and nothing has happened. Later what left
    stays, and who is invited stays invited: they find it on Home and in the Overview,
    and the next campaign for the program writes to whoever got no mail.
    Stopping twice changes nothing. Raises ValidationError where nothing is under way.
    """
    campaign = _locked(campaign)
    if campaign.is_scheduled:
        _take_back(campaign, by=by, why=why)
        return campaign
    if campaign.is_stopped:
        return campaign
    if not campaign.is_under_way:
        raise ValidationError(_("This campaign is not under way."), code="not_running")
    _stop(campaign, at=at or timezone.now(), why=why, by=by)
    return campaign


def _take_back(campaign: Campaign, *, by: User | None, why: str) -> None:
    campaign.status = CampaignStatus.DRAFT
    campaign.confirmed_at = campaign.confirmed_by = campaign.starts_at = None
    campaign.ended_because = why[:300]
    campaign.save(
        update_fields=[
            "status", "confirmed_at", "confirmed_by", "starts_at", "ended_because",
        ]
    )  # fmt: skip
    _record(campaign, AuditAction.CAMPAIGN_TAKEN_BACK, by=by, reason=why)


def _stop(campaign: Campaign, *, at: datetime, why: str, by: User | None) -> None:
    canceled = outbox.cancel(mails_of(campaign), why="the campaign was stopped")
    campaign.status = CampaignStatus.STOPPED
    campaign.ended_at = at
    campaign.ended_because = why[:300]
    campaign.save(update_fields=["status", "ended_at", "ended_because"])
    _record(campaign, AuditAction.CAMPAIGN_STOPPED, by=by, after={"mails": canceled})


@transaction.atomic
@at_length()
def pause_campaign(campaign: Campaign, *, by: User | None) -> Campaign:
    """Hold back what has not left; pausing twice changes nothing.

    Raises ValidationError when it does not run.
    """
    campaign = _locked(campaign)
    if campaign.is_paused:
        return campaign
    if not campaign.is_running:
        raise ValidationError(_("This campaign does not run."), code="not_running")
    outbox.hold(mails_of(campaign))
    campaign.status = CampaignStatus.PAUSED
    campaign.save(update_fields=["status"])
    _record(campaign, AuditAction.CAMPAIGN_PAUSED, by=by)
    return campaign


@transaction.atomic
def resume_campaign(
    campaign: Campaign, *, by: User | None, at: datetime | None = None
) -> Campaign:
    """Go on where it paused. Raises ValidationError when it is not paused."""
    campaign = _locked(campaign)
    if campaign.is_running:
        return campaign
    if not campaign.is_paused:
        raise ValidationError(_("This campaign is not paused."), code="not_paused")
    campaign.status = CampaignStatus.RUNNING
    # The time it stood still does not count for the limit by the hour.
    campaign.released_until = at or timezone.now()
    campaign.save(update_fields=["status", "released_until"])
    _record(campaign, AuditAction.CAMPAIGN_RESUMED, by=by)
    return campaign


@transaction.atomic
@at_length()
def resend_failures(campaign: Campaign, *, by: User | None) -> int:
    """Put the mails of a campaign that were given up back in line; return how many.

    Not those to addresses that mail comes back from: they fail again. Each goes with
    the Message-ID it had, and one that may have arrived with the words it had. Raises
    ValidationError while it is paused, and for good when it was stopped.
    """
    campaign = _locked(campaign)
    if campaign.is_paused or campaign.is_stopped:
        raise ValidationError(
            _("Nothing leaves while a campaign is paused, or once it was stopped."),
            code="not_running",
        )
    resent = outbox.requeue(mails_of(campaign).exclude(comes_back()))
    if resent:
        _record(campaign, AuditAction.CAMPAIGN_RESENT, by=by, after={"mails": resent})
    return resent


def mails_of(campaign: Campaign) -> QuerySet[OutgoingEmail]:
    """Return the mails of a campaign's recipients."""
    return OutgoingEmail.objects.filter(
        pk__in=campaign.recipients.order_by().values("email")
    )


# --- Running -------------------------------------------------------------------------


def campaigns_to_run(*, at: datetime) -> QuerySet[Campaign]:
    """Return what is under way and due, the oldest first.

    What is paused too, where people have so many days to answer: these do not begin.
    """
    paused = Campaign.objects.filter(status=CampaignStatus.PAUSED)
    due = (
        Campaign.objects.filter(status=CampaignStatus.SCHEDULED, starts_at__lte=at)
        | Campaign.objects.running()
        | paused.filter(terms__enroll_within_days__isnull=False)
    )
    return due.order_by("starts_at", "pk")


@transaction.atomic
def run_next_range(campaign: Campaign, *, at: datetime) -> bool:
    """Take the next range of a campaign; False when there is nothing to do now.

    That is: another worker is at it, it waits for its hour, or it is done.
    """
    campaign = (
        Campaign.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("terms__program", "terms__fiscal_year__calendar")
        .filter(pk=campaign.pk)
        .first()
    )
    if campaign is None:
        return False
    if campaign.failed_at is not None:
        campaign.failed_at = None
        campaign.save(update_fields=["failed_at"])
    if campaign.is_scheduled and campaign.starts_at <= at:
        return _start(campaign, at=at)
    if _keep_days(campaign, at=at):
        return True
    if not campaign.is_running:
        return False
    return _STEPS[CampaignStep(campaign.step)](campaign, at=at)


def note_failed_try(campaign: Campaign, *, at: datetime) -> None:
    """Keep for its page that a range failed, until one succeeds.

    It is tried again by every call all the same: a fault that passes may not keep
    invitations back.
    """
    Campaign.objects.filter(pk=campaign.pk).update(failed_at=at)


def _start(campaign: Campaign, *, at: datetime) -> bool:
    """Begin, unless the program has closed since, or many more would be written to."""
    terms = campaign.terms
    today = terms.fiscal_year.calendar.day_at(at)
    reason = why_not_inviting(terms, on=today)
    people = 0 if reason else count_people(campaign, on=today)
    if people * 100 > campaign.people_count * (100 + MOST_MORE):
        more = _(
            "People to write to: %(confirmed)d when this was confirmed, %(people)d when "
            "it was to begin. Nothing was sent."
        ) % {"confirmed": campaign.people_count, "people": people}
        _take_back(campaign, by=None, why=more)
        return False
    campaign.status = CampaignStatus.STOPPED if reason else CampaignStatus.RUNNING
    campaign.began_at = at
    campaign.step, campaign.last_key = CampaignStep.LOCATIONS, 0
    campaign.released_until = at
    campaign.ended_at = at if reason else None
    campaign.ended_because = reason[:300]
    campaign.save(
        update_fields=[
            "status", "began_at", "step", "last_key", "released_until", "ended_at",
            "ended_because",
        ]
    )  # fmt: skip
    action = AuditAction.CAMPAIGN_STOPPED if reason else AuditAction.CAMPAIGN_STARTED
    _record(campaign, action, by=None)
    return not reason


def _invite_next(campaign: Campaign, *, at: datetime) -> bool:
    """Invite the next locations, in one statement, unless the program has closed."""
    if not hold_values(skip_locked=True):
        return False
    terms = lock_terms(campaign.terms, skip_locked=True)
    if terms is None:
        return False
    reason = why_not_inviting(terms, on=terms.fiscal_year.calendar.day_at(at))
    if reason:
        _stop(campaign, at=at, why=reason, by=None)
        return False
    today = terms.fiscal_year.calendar.day_at(campaign.began_at)
    after = campaign.last_key
    upto = end_of_range(campaign, after=after, size=LOCATIONS_AT_ONCE)
    chosen = audience_to_write(campaign, on=today, after=after, upto=upto)
    query, params = (
        chosen.order_by("pk").values("id", "partner_account_id")
    ).query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            INVITE.format(query=query),
            (
                *params,
                terms.pk,
                EnrollmentStatus.INVITED,
                campaign.began_at,
                campaign.began_at,
                terms.last_day_for(today),
                EnrollmentEvent.Code.INVITED,
                EnrollmentStatus.INVITED,
                campaign.confirmed_by_id,
                campaign.began_at,
                first_method(terms),
                terms.pk,
            ),
        )
        campaign.locations_count += cursor.fetchone()[0]
        if upto is None:
            cursor.execute("ANALYZE enrollment_enrollment")
    _move_on(campaign, upto, is_over=upto is None)
    return True


def _address_next(campaign: Campaign, *, at: datetime) -> bool:
    """Give the next people one mail each, without words yet, and their invitations."""
    holders = (
        RoleAssignment.objects.live()
        .filter(
            role__in=roles_with(Permission.ENROLLMENT_EDIT),
            user_id__gt=campaign.last_key,
        )
        .order_by("user_id")
        .values("user_id")
        .distinct()[:PEOPLE_AT_ONCE]
    )
    last = RoleAssignment.objects.filter(user_id__in=holders).aggregate(
        last=Max("user_id")
    )["last"]
    if last is None:
        _move_on(campaign, None, is_over=True)
        return True
    pairs = (
        _to_tell(campaign, at=at)
        .filter(holder__gt=campaign.last_key, holder__lte=last)
        .order_by()
        .values("holder", "id")
        .distinct()
    )
    query, params = pairs.query.sql_with_params()
    subjects = []
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            subjects += [language, str(emails.invitation_subject(campaign.terms))]
    with connection.cursor() as cursor:
        cursor.execute(PAIRS.format(query=query), params)
        # What a statement has just written it takes for few rows, and compares each
        # with each: only a table that was looked at is joined as what it is.
        cursor.execute("ANALYZE campaign_pairs")
        cursor.execute(
            MAILS.format(subjects=", ".join(["(%s, %s)"] * (len(subjects) // 2))),
            (
                f"campaign:{campaign.pk}:",
                *subjects,
                at,
                emails.muting(campaign.terms),
                campaign.terms.sender_name,
            ),
        )
        cursor.execute("ANALYZE campaign_mails")
        cursor.execute(RECIPIENTS, [campaign.pk])
        cursor.execute(INVITATIONS)
        cursor.execute("DROP TABLE campaign_pairs, campaign_mails")
    _move_on(campaign, last, is_over=False)
    return True


def _to_tell(campaign: Campaign, *, at: datetime) -> QuerySet[Enrollment]:
    """Return one row for each enrollment and `holder` that the campaign writes to.

    That is of what it invited, and of what one that was stopped did not tell them.
    """
    if not campaign.follows_a_stopped_one:
        return untold(_invited_by(campaign).to_answer())
    today = campaign.terms.fiscal_year.calendar.day_at(at)
    left = not_told(campaign, on=today).order_by().values("pk")
    told = mailed().filter(enrollment=OuterRef("pk"), user=OuterRef("holder"))
    return with_holders(
        Enrollment.objects.to_answer().filter(
            Q(invited_at=campaign.began_at) | Q(pk__in=left), terms=campaign.terms
        )
    ).exclude(Exists(told))


def _tell_next_admins(campaign: Campaign, *, at: datetime) -> bool:
    """Tell the admins of the next companies where nobody can enroll (rule 74)."""
    uncovered = _invited_by(campaign).without_holder(Role.INCENTIVES_ADMIN)
    companies = list(
        uncovered.filter(location__partner_account__gt=campaign.last_key)
        .order_by("location__partner_account")
        .values_list("location__partner_account", flat=True)
        .distinct()[:COMPANIES_AT_ONCE]
    )
    for company in PartnerAccount.objects.filter(pk__in=companies).order_by("pk"):
        locations = list(
            Location.objects.filter(
                pk__in=uncovered.filter(location__partner_account=company)
                .order_by()
                .values("location")
            ).order_by("name", "pk")
        )
        emails.nobody_can_enroll(
            company, locations=locations, terms=campaign.terms, at=campaign.began_at
        )
        campaign.uncovered_count += len(locations)
    _move_on(
        campaign,
        max(companies, default=None),
        is_over=len(companies) < COMPANIES_AT_ONCE,
    )
    return True


def _let_go(campaign: Campaign, *, at: datetime) -> bool:
    """Let the next mails leave, as many as the hour allows; end when all have."""
    held = mails_of(campaign).filter(status=MailStatus.HELD)
    allowed = MAILS_AT_ONCE
    if campaign.mails_per_hour:
        since = campaign.released_until or at
        allowed = int((at - since).total_seconds() * campaign.mails_per_hour / 3600)
    some = list(
        held.order_by("campaign_recipient__pk").values_list("pk", flat=True)[
            : min(allowed, MAILS_AT_ONCE)
        ]
    )
    released = outbox.release(OutgoingEmail.objects.filter(pk__in=some))
    if campaign.mails_per_hour and released:
        pause = timedelta(seconds=3600 * released / campaign.mails_per_hour)
        campaign.released_until = min(at, (campaign.released_until or at) + pause)
        campaign.save(update_fields=["released_until"])
    if released:
        return not campaign.mails_per_hour
    if _is_leaving(campaign):
        return False
    campaign.status = CampaignStatus.FINISHED
    campaign.ended_at = at
    campaign.save(update_fields=["status", "ended_at"])
    _record(
        campaign,
        AuditAction.CAMPAIGN_FINISHED,
        by=None,
        after={
            "invited": campaign.locations_count,
            "mails": campaign.recipients.count(),
            "without_admin": campaign.uncovered_count,
        },
    )
    return False


def _keep_days(campaign: Campaign, *, at: datetime) -> bool:
    """Let the days to answer begin when the mail leaves; False when all is written.

    Once a day the last day of what nobody was told of moves on; the program's own last
    day and the year's stay (domain.md §10.4). Whoever acts on a row just now has seen
    its day.
    """
    terms = campaign.terms
    last = terms.last_day_for(terms.fiscal_year.calendar.day_at(at))
    is_written = campaign.last_day is not None and campaign.last_day >= last
    waits = campaign.is_running and campaign.step == CampaignStep.MAILS
    if (
        not (waits or campaign.is_paused)
        or terms.enroll_within_days is None
        or is_written
    ):
        return False
    told = Invitation.objects.filter(enrollment=OuterRef("pk"))
    waiting = told.filter(
        email__status=MailStatus.HELD, email__campaign_recipient__campaign=campaign
    )
    unaddressed = ~Exists(told) & Q(invited_at=campaign.began_at)
    gone = told.exclude(email__status__in=[MailStatus.HELD, MailStatus.CANCELED])
    rows = (
        Enrollment.objects.invited()
        .filter(Exists(waiting) | unaddressed, terms=terms, enroll_by__lt=last)
        .exclude(Exists(gone))
        .select_for_update(of=("self",), no_key=True, skip_locked=True)
        .order_by("pk")
    )
    some = list(rows.values_list("pk", flat=True)[:LOCATIONS_AT_ONCE])
    Enrollment.objects.filter(pk__in=some).update(enroll_by=last)
    if len(some) < LOCATIONS_AT_ONCE:
        campaign.last_day = last
        campaign.save(update_fields=["last_day"])
        return False
    return True


def _is_leaving(campaign: Campaign) -> bool:
    """Whether a mail has not been tried yet; what is tried again goes on by itself."""
    mails = mails_of(campaign)
    return (
        mails.filter(status__in=ON_THE_WAY).exists()
        or mails.filter(status=MailStatus.QUEUED, attempts=0).exists()
    )


_STEPS = {
    CampaignStep.LOCATIONS: _invite_next,
    CampaignStep.PEOPLE: _address_next,
    CampaignStep.ADMINS: _tell_next_admins,
    CampaignStep.MAILS: _let_go,
}
_ORDER = list(CampaignStep)


def _move_on(campaign: Campaign, last: int | None, *, is_over: bool) -> None:
    if is_over:
        campaign.step = _ORDER[_ORDER.index(CampaignStep(campaign.step)) + 1]
    campaign.last_key = 0 if is_over else last
    campaign.save(
        update_fields=["step", "last_key", "locations_count", "uncovered_count"]
    )


def _invited_by(campaign: Campaign) -> QuerySet[Enrollment]:
    return Enrollment.objects.filter(terms=campaign.terms, invited_at=campaign.began_at)


# --- Refusing ------------------------------------------------------------------------


def _locked(campaign: Campaign) -> Campaign:
    return (
        Campaign.objects.select_for_update(of=("self",))
        .select_related("terms__program", "terms__fiscal_year__calendar")
        .get(pk=campaign.pk)
    )


def _draft(campaign: Campaign) -> Campaign:
    campaign = _locked(campaign)
    if not campaign.is_draft:
        raise ValidationError(
            _("This campaign is no draft any more: %(status)s."),
            code="no_draft",
            params={"status": campaign.get_status_display()},
        )
    return campaign


def _refuse_unknown_variables(campaign: Campaign) -> None:
    found = problems_of_words(campaign)
    if found:
        raise ValidationError(found, code="unknown_variable")


def _clean_words(words: str) -> str:
    most = Campaign._meta.get_field("words_en").max_length
    return clean_text(words, max_length=most) if words.strip() else ""


def _refuse_half_words(campaign: Campaign) -> None:
    """Nobody gets less than others for the language they read."""
    if bool(campaign.words_en.strip()) != bool(campaign.words_sv.strip()):
        raise ValidationError(
            _("Write your own words in both languages, or in none."),
            code="half_words",
        )


def _refuse_too_slow(campaign: Campaign, *, people: int, starts_at: datetime) -> None:
    """Nobody is written to when it is too late for them to enroll."""
    if not campaign.mails_per_hour:
        return
    leaving = timedelta(hours=people / campaign.mails_per_hour)
    last = campaign.terms.fiscal_year.calendar.day_at(starts_at + leaving)
    if why_not_inviting(campaign.terms, on=last):
        raise ValidationError(
            _(
                "At so many an hour the last mail would leave on %(day)s, after the "
                "last day to enroll. Let more leave in an hour."
            ),
            code="too_slow",
            params={"day": date_format(last, "j F Y")},
        )


def _is_anybody_left(campaign: Campaign, *, at: datetime) -> bool:
    today = campaign.terms.fiscal_year.calendar.day_at(at)
    return audience(campaign, on=today).exists()


def _record(campaign: Campaign, action: AuditAction, *, by: User | None, **told):
    told["after"] = {"program": campaign.terms.program_id} | told.get("after", {})
    record_audit_event(campaign, action=action, by=by, partner_account=None, **told)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


# --- The statements ------------------------------------------------------------------

# Whoever was invited meanwhile is not invited twice; what follows is of new rows only.
# Who closes a location waits, and ends what was invited; one just closed is left out.
INVITE = """
WITH chosen AS MATERIALIZED (
    {query} FOR SHARE OF accounts_location
), fresh AS (
    INSERT INTO enrollment_enrollment
        (id, location_id, partner_account_id, terms_id, status, status_since,
         invited_at, enroll_by, agreement_version, end_reason)
    SELECT gen_random_uuid(), id, partner_account_id, %s, %s, %s, %s, %s, '', ''
    FROM chosen
    ON CONFLICT (location_id, terms_id) DO NOTHING
    RETURNING id, location_id
), told AS (
    INSERT INTO enrollment_enrollmentevent
        (enrollment_id, code, from_status, to_status, by_id, note, at)
    SELECT id, %s, '', %s, %s, '', %s FROM fresh
), paid AS (
    INSERT INTO enrollment_payoutassignment
        (enrollment_id, earning_type_id, location_id, partner_account_id, method,
         currency)
    SELECT f.id, t.id, f.location_id, c.partner_account_id, %s, ''
    FROM fresh f
    JOIN chosen c ON c.id = f.location_id
    JOIN enrollment_earningtype t ON t.terms_id = %s
)
SELECT count(*) FROM fresh
"""

# Who is told of what; then a mail for each person, a line of the log, the invitations.
PAIRS = """
CREATE TEMPORARY TABLE campaign_pairs ON COMMIT DROP AS {query}
"""

MAILS = """
CREATE TEMPORARY TABLE campaign_mails ON COMMIT DROP AS
WITH mails AS (
    INSERT INTO accounts_outgoingemail
        (id, dedupe_key, name, to_user_id, to_address, language, subject, body_text,
         body_html, about_url, status, attempts, next_attempt_at, fence, last_error,
         created_at, is_bulk, mutes, sender_name)
    SELECT gen_random_uuid(), %s || u.id, 'invitation', u.id, u.email, u.language,
           s.subject, '', '', '', 'held', 0, m.at, 0, '', m.at, true, m.mutes,
           m.sender
    FROM (SELECT DISTINCT holder FROM campaign_pairs) p
    JOIN accounts_user u ON u.id = p.holder
    JOIN (VALUES {subjects}) s (language, subject) ON s.language = u.language
    CROSS JOIN (SELECT %s::timestamptz AS at, %s AS mutes, %s AS sender) m
    ON CONFLICT (dedupe_key) DO NOTHING
    RETURNING id, to_user_id, created_at
)
SELECT id, to_user_id, created_at FROM mails
"""

RECIPIENTS = """
INSERT INTO enrollment_campaignrecipient
    (campaign_id, user_id, email_id, locations_count)
SELECT %s, m.to_user_id, m.id, count(*)
FROM campaign_mails m
JOIN campaign_pairs p ON p.holder = m.to_user_id
GROUP BY m.to_user_id, m.id
ORDER BY m.to_user_id
"""

INVITATIONS = """
INSERT INTO enrollment_invitation (id, enrollment_id, user_id, email_id, created_at)
SELECT gen_random_uuid(), p.id, p.holder, m.id, m.created_at
FROM campaign_pairs p
JOIN campaign_mails m ON m.to_user_id = p.holder
ON CONFLICT (enrollment_id, user_id) DO UPDATE SET email_id = excluded.email_id
WHERE EXISTS (
    SELECT FROM accounts_outgoingemail old
    WHERE old.id = enrollment_invitation.email_id AND old.status = 'canceled'
)
"""
