"""Every life of an enrollment: whatever happens in whatever order, four things agree.

A small model of its own says what each step does. After every step the status, the
history, the mails and the page of whoever may enroll say what the model says.
"""

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import OutgoingEmail
from accounts.services import revoke_role
from accounts.tests import cast
from accounts.tests.factories import RoleAssignmentFactory
from accounts.tests.tries import tries
from enrollment import services
from enrollment.models import Enrollment, Invitation
from enrollment.services import choosing, following
from enrollment.services import enrollments as enrollment_services
from enrollment.states import SHOWN
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
)
from profiles.services import (
    approve_version,
    create_tax_profile,
    return_version,
    revise_tax_profile,
)
from profiles.tests.factories import (
    TAX_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
)

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 9, 1, 12, tzinfo=UTC)
LAST_DAY = date(2026, 11, 30)
PAST = datetime(2026, 12, 1, 12, tzinfo=UTC)
MEASURED = date(2026, 1, 1)
TAX_RETURNED = [{"field": "legal_name", "code": "TAX_NAME_MISMATCH", "note": ""}]
OPEN = ("invited", "declined", "action_required", "validating", "enrolled")
# Those that follow their profiles, once submitted.
FOLLOWING = ("action_required", "validating", "enrolled")
BY_PARTNER = ("accept", "decline", "reconsider", "continue", "submit", "recall")
# What a page offers is the form of a step.
FORM = re.compile(r'action="[^"]*/(\w+)/"')
# What the clock tells of, an enrollment in each of these once.
TOLD_BY_CLOCK = {
    "ineligible": "eligibility_lost",
    "expired": "enrollment_lapsed",
    "discontinued": "program_discontinued",
}
MAILS = (
    "invitation",
    "enrollment_submitted",
    "enrollment_completed",
    "needs_attention",
    "eligibility_regained",
    *TOLD_BY_CLOCK.values(),
)

STEPS = settings(
    max_examples=tries(6),
    stateful_step_count=20,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class Model:
    """What becomes of one enrollment, told a second time and briefly.

    Every step is a method; it returns "done", "same" where it changes nothing, or
    "refused".
    """

    def __init__(self):
        self.status = ""
        self.codes: list[str] = []
        self.mails: Counter = Counter()
        self.is_accepted = self.is_submitted = self.was_enrolled = False
        self.is_eligible = self.has_role = True
        self.is_over = self.is_late = self.is_told = False
        # What the program owner thinks of the tax profile; "" where there is none.
        self.tax = ""
        self.is_bank_confirmed = self.is_tax_confirmed = False
        self.before = ""
        # Where the status came from and when; whether its holder knows.
        self.left, self.since = "", BEGIN
        self.is_known = self.waits_to_be_back = False

    def moved(self, status: str, code: str) -> str:
        if status != self.status:
            self.left, self.since = self.status, timezone.now()
            self.is_known = False
        self.status = status
        self.codes.append(code)
        return "done"

    def mail(self, name: str) -> None:
        self.mails[name] += self.has_role

    # --- The program owner and the clock ---

    def invite(self) -> str:
        if self.status or not self.is_eligible or self.is_over or self.is_late:
            return "same"
        self.moved("invited", "invited")
        self.tell()
        return "done"

    def tell(self) -> None:
        """Nobody is told twice."""
        is_news = self.status == "invited" and not self.is_told and not self.is_late
        if is_news and self.has_role and not self.is_accepted and not self.is_over:
            self.is_told = True
            self.mail("invitation")

    def pass_deadline(self) -> str:
        self.is_late = True
        begun = self.status == "action_required" and not self.is_submitted
        if self.status == "invited" or begun:
            self.moved("expired", "lapsed")
        return "done"

    def discontinue(self) -> str:
        self.is_over = True
        if self.status in (*OPEN, "ineligible"):
            self.moved("discontinued", "discontinued")
        return "done"

    def lose(self) -> str:
        self.is_eligible = False
        if self.status in OPEN:
            self.before = self.status
            self.moved("ineligible", "eligibility_lost")
        return "done"

    def regain(self) -> str:
        self.is_eligible = True
        if self.status == "ineligible":
            self.moved(self.before, "eligibility_regained")
            if self.is_submitted and self.status in ("validating", "enrolled"):
                is_waiting = not (self.is_bank_confirmed and self.is_tax_confirmed)
                if self.lacks_tax or (self.status == "enrolled" and is_waiting):
                    self.follow()
        return "done"

    def tell_of_standing(self) -> None:
        """Who declined lost nothing; who is eligible again in an hour lost nothing."""
        age = timezone.now() - self.since
        had = self.before if self.left == "ineligible" else self.left
        is_news = had != "declined" and age < timedelta(days=3) and self.has_role
        if self.status == "ineligible":
            is_news = is_news and age >= timedelta(hours=1)
        if self.status == "expired":
            is_news = is_news and self.is_accepted
        if self.status in TOLD_BY_CLOCK and is_news and not self.is_known:
            self.is_known = True
            self.mail(TOLD_BY_CLOCK[self.status])
            self.waits_to_be_back |= self.status == "ineligible"
        if self.status in OPEN and self.waits_to_be_back and self.has_role:
            self.waits_to_be_back = False
            self.mail("eligibility_regained")

    # --- Whoever may enroll ---

    @property
    def lacks_tax(self) -> bool:
        return self.tax in ("", "returned")

    @property
    def is_closed(self) -> bool:
        is_late = self.is_late and not self.is_submitted
        return (
            self.is_over or is_late or self.status not in ("invited", "action_required")
        )

    def accept(self) -> str:
        if self.is_accepted:
            return "same"
        if self.is_closed:
            return "refused"
        self.is_accepted = True
        return self.moved(self.status, "accepted")

    def decline(self) -> str:
        if self.status == "declined":
            return "same"
        if self.is_closed or self.is_submitted:
            return "refused"
        self.is_accepted = False
        return self.moved("declined", "declined")

    def reconsider(self) -> str:
        if self.status == "invited":
            return "same"
        if self.status != "declined" or self.is_late:
            return "refused"
        return self.moved("invited", "reconsidered")

    def carry_on(self) -> str:
        if self.is_closed or not self.is_accepted:
            return "refused"
        if self.status == "invited" and self.lacks_tax:
            return self.moved("action_required", "details_asked")
        return "same"

    def submit(self) -> str:
        if self.status == "validating":
            return "same"
        if self.is_closed or not self.is_accepted or self.lacks_tax:
            return "refused"
        self.is_submitted = True
        self.moved("validating", "submitted")
        self.mail("enrollment_submitted")
        return "done"

    def recall(self) -> str:
        if self.status == "action_required" and not self.is_submitted:
            return "same"
        if self.status != "validating" or self.was_enrolled or self.is_late:
            return "refused"
        self.is_submitted = False
        return self.moved("action_required", "recalled")

    def verdict(self, step: str) -> str:
        if not self.has_role:
            return "refused"
        return {"continue": self.carry_on}.get(step, getattr(self, step, None))()

    def offers(self) -> set[str]:
        """The steps that the page shows to whoever may enroll."""
        if not self.has_role or self.status == "declined":
            is_back = self.has_role and not self.is_late
            return {"reconsider"} if is_back else set()
        if self.status == "validating":
            can = not self.was_enrolled and not self.is_late
            return {"recall"} if can else set()
        if self.is_closed:
            return set()
        declines = set() if self.is_submitted else {"decline"}
        if not self.is_accepted:
            return {"accept"} | declines
        if not self.lacks_tax:
            return {"submit"} | declines
        return declines | {"continue"}

    # --- Profiles ---

    @property
    def is_following(self) -> bool:
        return self.is_submitted and self.status in FOLLOWING

    def send_tax(self) -> str:
        self.tax, self.is_tax_confirmed = "pending", False
        if self.is_following:
            self.follow()
        return "done"

    def approve_tax(self) -> str:
        self.tax = "approved"
        if self.is_following:
            self.confirm("tax")
            self.follow()
        return "done"

    def return_tax(self) -> str:
        self.tax, self.is_tax_confirmed = "returned", False
        if self.is_following:
            self.follow()
        return "done"

    def confirm_bank(self) -> str:
        if self.status != "validating":
            return "refused"
        self.confirm("bank")
        self.follow()
        return "done"

    def confirm_tax(self) -> str:
        if self.status != "validating":
            return "refused"
        self.tax = "approved"
        self.confirm("tax")
        self.follow()
        return "done"

    def confirm(self, part: str) -> None:
        if not getattr(self, f"is_{part}_confirmed"):
            setattr(self, f"is_{part}_confirmed", True)
            self.codes.append(f"{part}_confirmed")

    def follow(self) -> None:
        if self.lacks_tax:
            wanted, code = "action_required", "returned"
        elif self.is_bank_confirmed and self.is_tax_confirmed:
            wanted, code = "enrolled", "enrolled"
        else:
            wanted, code = "validating", "profile_changed"
        if wanted == self.status:
            return
        self.moved(wanted, code)
        self.was_enrolled = self.was_enrolled or wanted == "enrolled"
        if wanted == "enrolled":
            self.mail("enrollment_completed")
        elif wanted == "action_required":
            self.mail("needs_attention")


class Lives(RuleBasedStateMachine):
    """One location, one program; everybody does what comes to their minds."""

    def __init__(self):
        super().__init__()
        self.point = transaction.savepoint()
        self.clock = time_machine.travel(BEGIN, tick=False)
        self.time = self.clock.start()
        self.hold = override_settings(IMPORT_HOLD_PERCENT=100)
        self.hold.enable()
        self.model = Model()
        nordvik, program = cast.nordvik(), cast.program()
        self.place = cast.goteborg(nordvik)
        self.ida = cast.ida(self.place)
        self.greta = cast.greta(nordvik)
        self.oscar = cast.oscar()
        AgreementFactory(partner_account=nordvik)
        self.terms = ProgramTermsFactory(program=program, enroll_by=LAST_DAY)
        revenue = CriterionFactory(code="revenue")
        RequirementFactory(terms=self.terms, criterion=revenue)
        MeasuredValueFactory(
            location=self.place, criterion=revenue, measured_on=MEASURED
        )
        self.imports = 0
        bank = BankProfileFactory(partner_account=nordvik)
        DefaultBankProfileFactory(location=self.place, bank_profile=bank)
        self.tax_profile = None
        # What the page was last looked at for.
        self.shown = None

    def teardown(self):
        self.hold.disable()
        self.clock.stop()
        transaction.savepoint_rollback(self.point)

    @property
    def enrollment(self) -> Enrollment:
        return Enrollment.objects.for_pages().get(location=self.place)

    def measure(self, value: int) -> None:
        self.imports += 1
        day = MEASURED + timedelta(days=self.imports)
        line = f"{self.place.partner_id},revenue,{value},{day},\n"
        head = "partner_id,criterion,value,measured_on,source\n"
        services.import_measured_values((head + line).encode(), by=None)

    def newest_tax(self):
        return self.tax_profile.versions.order_by("number").last()

    # --- Steps of whoever may enroll: also those that are refused ---

    def do(self, step: str) -> str:
        """Take a step; return what came of it."""
        before = self.seen()
        kept = transaction.savepoint()
        try:
            {
                "accept": services.accept_enrollment,
                "decline": services.decline_enrollment,
                "reconsider": services.reconsider_enrollment,
                "continue": services.ask_for_details,
                "submit": services.submit_enrollment,
                "recall": services.recall_enrollment,
            }[step](self.enrollment, by=self.ida)
        except (ValidationError, PermissionDenied):
            transaction.savepoint_rollback(kept)
            assert self.seen() == before
            return "refused"
        transaction.savepoint_commit(kept)
        return "same" if self.seen() == before else "done"

    def seen(self) -> tuple:
        one = self.enrollment
        return one.status, one.accepted_at, one.submitted_at, one.events.count()

    @precondition(lambda self: self.model.status)
    @rule(which=st.integers(min_value=0, max_value=99))
    def what_the_page_offers(self, which):
        """A step that the page offers leads on."""
        offered = sorted(self.model.offers())
        # Most go forward.
        offered += [one for one in offered if one in ("accept", "submit")] * 3
        if offered:
            step = offered[which % len(offered)]
            expected = self.model.verdict(step)
            # Who continues once more is led to what is missing, as before.
            assert expected == "done" or step == "continue"
            assert self.do(step) == expected, step

    @precondition(lambda self: self.model.status)
    @rule(step=st.sampled_from(BY_PARTNER))
    def anything(self, step):
        """What the model refuses is refused, what changes nothing changes nothing."""
        expected = self.model.verdict(step)
        assert self.do(step) == expected, step

    @precondition(lambda self: self.model.status)
    @rule()
    def open(self):
        """Opening the message on Home changes nothing but that."""
        invitation = Invitation.objects.filter(user=self.ida).first()
        assert bool(invitation) == self.model.is_told
        if invitation:
            services.open_invitation(invitation)

    # --- Steps of the program owner, the clock and the company ---

    @precondition(lambda self: not self.model.status)
    @rule()
    def invite(self):
        self.model.invite()
        services.invite_locations(self.terms, by=None)

    @precondition(lambda self: self.model.has_role and self.model.tax != "approved")
    @rule()
    def send_tax(self):
        details = TAX_DETAILS | {"street": f"Storgatan {self.imports}{self.time_now()}"}
        options = {"country": "SE", "details": details, "by": self.ida}
        if self.tax_profile is None:
            self.model.send_tax()
            self.tax_profile = create_tax_profile(self.place, name="Tax", **options)
        elif self.model.tax == "returned":
            self.model.send_tax()
            revise_tax_profile(self.tax_profile, **options)

    def time_now(self) -> int:
        return int(timezone.now().timestamp())

    @precondition(lambda self: self.model.tax == "pending")
    @rule(is_fine=st.sampled_from([True, True, False]))
    def decide_tax(self, is_fine):
        if is_fine:
            self.model.approve_tax()
            approve_version(self.newest_tax(), by=self.oscar)
        else:
            self.model.return_tax()
            return_version(self.newest_tax(), returned=TAX_RETURNED, by=self.oscar)

    @precondition(lambda self: self.model.status == "validating")
    @rule(part=st.sampled_from(["bank", "tax"]))
    def confirm(self, part):
        getattr(self.model, f"confirm_{part}")()
        services.confirm_payout(self.enrollment, part=part, by=self.oscar)

    @precondition(lambda self: self.model.status == "enrolled")
    @rule()
    def return_what_was_approved(self):
        self.model.return_tax()
        return_version(self.newest_tax(), returned=TAX_RETURNED, by=self.oscar)

    @precondition(lambda self: self.model.codes)
    @rule(is_eligible=st.booleans())
    def measure_anew(self, is_eligible):
        if is_eligible != self.model.is_eligible:
            self.model.regain() if is_eligible else self.model.lose()
            self.measure(30000 if is_eligible else 100)

    @precondition(lambda self: len(self.model.codes) > 2)
    @rule(has_role=st.booleans())
    def change_roles(self, has_role):
        if has_role and not self.model.has_role:
            RoleAssignmentFactory(
                user=self.ida,
                partner_account=self.place.partner_account,
                location=self.place,
            )
            self.model.has_role = True
        elif self.model.has_role and not has_role:
            self.model.has_role = False
            for held in self.ida.role_assignments.filter(revoked_at=None):
                revoke_role(held, by=self.greta)
        self.model.tell()
        services.notify_waiting_admins()

    @precondition(lambda self: len(self.model.codes) > 3 and not self.model.is_late)
    @rule()
    def pass_the_deadline(self):
        self.time.move_to(PAST, tick=False)
        self.model.pass_deadline()
        services.lapse_invitations(at=timezone.now())

    @precondition(lambda self: len(self.model.codes) > 4 and not self.model.is_over)
    @rule(is_meant=st.sampled_from([False, False, True]))
    def discontinue(self, is_meant):
        if is_meant:
            self.model.discontinue()
            services.discontinue_program(self.terms.program, by=None)

    # --- What has to agree ---

    @invariant()
    def everything_agrees(self):
        # In three steps what is lost has been lost for an hour.
        self.time.shift(25 * 60)
        model = self.model
        if not model.status:
            assert not Enrollment.objects.exists()
            return
        if not {"eligibility_lost", "lapsed", "discontinued"}.isdisjoint(model.codes):
            model.tell_of_standing()
            while services.tell_next_of_standings(at=timezone.now()) is not None:
                pass
        one = self.enrollment
        steps = list(one.events.order_by("pk"))
        assert one.status == model.status
        assert [step.code for step in steps] == model.codes
        # Each step begins where the one before ended.
        assert [step.from_status for step in steps[1:]] == [
            step.to_status for step in steps[:-1]
        ]
        assert steps[-1].to_status == one.status
        mails = OutgoingEmail.objects.filter(to_user=self.ida, name__in=MAILS)
        assert Counter(mails.values_list("name", flat=True)) == +model.mails
        shown = (model.has_role, model.status, model.offers())
        if shown != self.shown:
            self.shown = shown
            self.look_at_the_page(one)

    def look_at_the_page(self, one) -> None:
        client = Client()
        client.force_login(self.ida)
        response = client.get(reverse("enrollment:detail", kwargs={"pk": one.pk}))
        if not self.model.has_role:
            assert response.status_code in (403, 404)
            return
        assert response.status_code == 200
        page = response.content.decode()
        assert str(SHOWN[self.model.status].label) in page
        offered = {form for form in FORM.findall(page) if form in BY_PARTNER}
        assert offered == self.model.offers()


def test_status_history_mails_and_page_agree_at_every_step_of_every_life():
    run_state_machine_as_test(Lives, settings=STEPS)


@pytest.mark.long
def test_they_agree_in_many_long_lives():
    run_state_machine_as_test(
        Lives, settings=settings(STEPS, max_examples=tries(50), stateful_step_count=30)
    )


def live(*steps) -> Counter:
    """Live one life, step by step; return the mails of it."""
    life = Lives()
    try:
        for name, *arguments in steps:
            getattr(life, name)(*arguments)
            life.everything_agrees()
    finally:
        life.teardown()
    return life.model.mails


GO_ON = ("anything", "continue")
SENT = [("invite",), ("anything", "accept"), ("send_tax",), ("anything", "submit")]
LOST = [*SENT, ("measure_anew", False), ("open",), ("open",), ("open",)]


def test_whom_the_clock_tells_of_where_an_enrollment_went_hears_it_once():
    # Eligible again within the hour, nobody heard of it.
    there_and_back = [("measure_anew", False), ("measure_anew", True)]
    told = live(*LOST, ("measure_anew", True), *there_and_back, ("discontinue", True))
    lapsed = live(SENT[0], SENT[1], GO_ON, ("pass_the_deadline",), ("open",))

    assert told == {
        "invitation": 1,
        "enrollment_submitted": 1,
        "eligibility_lost": 1,
        "eligibility_regained": 1,
        "program_discontinued": 1,
    }
    assert lapsed == {"invitation": 1, "enrollment_lapsed": 1}


def test_who_declined_hears_nothing_of_where_it_went():
    declined = [("invite",), ("anything", "decline"), ("measure_anew", False)]

    told = live(*declined, *[("open",)] * 3, ("discontinue", True))

    assert told == {"invitation": 1}


@pytest.mark.long
@pytest.mark.parametrize(
    ("owner", "rule_of", "steps"),
    [
        (
            following.emails,
            "enrollment_completed",
            [*SENT, ("confirm", "bank"), ("confirm", "tax")],
        ),
        (
            enrollment_services,
            "refuse_late",
            [SENT[0], ("anything", "decline"), ("pass_the_deadline",)]
            + [("anything", "reconsider")],
        ),
        (choosing, "refuse_unchangeable", [SENT[0], GO_ON]),
        (
            services,
            "tell_next_of_standings",
            LOST,
        ),
    ],
    ids=["a mail", "the last day", "the acceptance", "what is lost"],
)
def test_without_its_rule_a_life_goes_wrong(monkeypatch, owner, rule_of, steps):
    """The controls."""
    live(*steps)

    monkeypatch.setattr(owner, rule_of, lambda *_, **__: None)
    with pytest.raises(AssertionError):
        live(*steps)
