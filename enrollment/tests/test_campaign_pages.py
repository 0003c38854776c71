"""The operators' pages of campaigns: what they say, refuse and lead to."""

import re

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from accounts import outbox
from accounts.models import MutedMail, OutgoingEmail
from accounts.tests.shared_rows import shared
from enrollment import services, tasks
from enrollment.models import Campaign, CampaignStatus, Invitation
from enrollment.models.campaigns import HOLD
from enrollment.services import campaigns
from enrollment.tests.test_campaigns import run


@shared
def campaign(terms, goteborg, ida, mina):
    return services.plan_campaign(terms, by=mina)


def words(response) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode().partition("<main")[2])
    return " ".join(text.split())


def url(name, campaign, query="") -> str:
    return reverse(f"ops:{name}", kwargs={"pk": campaign.pk}) + query


def test_from_the_program_to_a_draft_to_the_hold_and_back(
    client_of, mina, terms, goteborg, malmo, ida
):
    client = client_of(mina)
    page = client.post(
        reverse("ops:plan_campaign", kwargs={"pk": terms.pk}), follow=True
    )
    campaign = Campaign.objects.get()
    assert [way.label for way in page.context["nav"] if way.is_active] == [
        "Invitations"
    ]
    assert "Send to 1 person" in words(page)
    assert "2 locations are invited" in words(page)
    assert "nobody can enroll there: the admins are told instead" in words(page)

    shown = {"people": 1, "seen": campaign.digest}
    assert f'value="{campaign.digest}"' in page.content.decode()
    sent = client.post(url("send_campaign", campaign), shown, follow=True)

    assert "Nothing has been sent yet" in words(sent)
    today = client.get(reverse("ops:today")).context["queues"]
    assert {q.name: q.count for q in today}["Campaigns under way"] == 1
    assert 'data-poll="3"' in sent.content.decode()
    stopped = client.post(url("stop_campaign", campaign), follow=True)
    assert "Taken back. Nothing was sent; it is a draft again." in words(stopped)
    assert not OutgoingEmail.objects.exists()


def test_the_audit_page_says_how_many_people_it_was_confirmed_for(
    client_of, oscar, mina, campaign
):
    services.confirm_campaign(campaign, people=1, by=mina)

    page = client_of(oscar).get(reverse("ops:audit"))

    assert page.status_code == 200
    assert re.search(r"People\W+1\b", words(page))


def test_a_paused_campaign_says_what_waits_and_what_stopping_it_costs(
    client_of, mina, campaign
):
    services.confirm_campaign(campaign, people=1, by=mina)
    run(campaign)
    client = client_of(mina)

    services.note_failed_try(campaign, at=timezone.now())
    assert "The last try to go on failed" in words(
        client.get(url("campaign", campaign))
    )
    paused = words(client.post(url("pause_campaign", campaign), follow=True))

    assert "No mail leaves until somebody goes on." in paused
    # Nothing is tried while nobody goes on.
    assert "The last try to go on failed" not in paused
    assert "No more of its mails leave, and it cannot go on." in paused
    services.stop_campaign(campaign, by=mina)
    stopped = words(client.get(url("campaign", campaign)))
    assert "until somebody goes on" not in stopped
    assert "Stop it" not in stopped


def test_another_number_than_the_true_one_is_refused_on_the_page(
    client_of, mina, campaign
):
    shown = {"people": 7, "seen": campaign.digest}
    response = client_of(mina).post(url("send_campaign", campaign), shown)

    assert response.status_code == 422
    assert "It is 1 person now. Look again, then send." in words(response)
    assert "Send to 1 person" in words(response)


def test_what_did_not_begin_as_confirmed_is_shown_with_the_reason(
    client_of, mina, campaign
):
    Campaign.objects.update(ended_because="It was 4 by then.")
    client = client_of(mina)

    assert "It was 4 by then." in words(client.get(url("campaign", campaign)))
    today = client.get(reverse("ops:today")).context["queues"]
    assert {q.name: q.count for q in today}["Campaigns to confirm anew"] == 1


def test_a_range_that_fails_is_told_on_its_page_until_one_succeeds(
    client_of, mina, campaign, monkeypatch
):
    services.confirm_campaign(campaign, people=1, by=mina)
    client = client_of(mina)
    with time_machine.travel(timezone.now() + HOLD, tick=False):
        with monkeypatch.context() as broken:
            broken.setattr(campaigns, "_start", lambda *args, **facts: 1 / 0)
            tasks.run_campaigns()
            failed = words(client.get(url("campaign", campaign)))
        tasks.run_campaigns()
        mended = words(client.get(url("campaign", campaign)))

    assert "The last try to go on failed" in failed
    assert "The last try to go on failed" not in mended
    assert Invitation.objects.exists()


def test_once_stopped_nothing_that_failed_is_offered_to_be_sent_again(
    client_of, mina, campaign
):
    services.confirm_campaign(campaign, people=1, by=mina)
    run(campaign)
    OutgoingEmail.objects.update(status="failed")
    client = client_of(mina)
    assert "failed mail again" in words(client.get(url("campaign_log", campaign)))
    services.stop_campaign(campaign, by=mina)

    page = client.post(url("resend_campaign", campaign), follow=True)

    assert "Nothing leaves while a campaign is paused" in page.content.decode()
    assert "failed mail again" not in words(page)
    assert "failed mail again" not in words(client.get(url("campaign", campaign)))


def test_an_unknown_variable_is_named_with_its_line_and_what_was_typed_is_kept(
    client_of, mina, campaign
):
    client = client_of(mina)
    typed = {"words_en": "Hello\n{guide}", "words_sv": "Hej", "partner_ids": ""}
    page = client.post(url("change_campaign", campaign), typed, follow=True)

    assert "keeps it from being sent" in words(page)
    assert "English, line 2: {guide} is unknown." in words(page)
    assert "{guide}" in page.content.decode()
    campaign.refresh_from_db()
    shown = {"people": 1, "seen": campaign.digest}
    response = client.post(url("send_campaign", campaign), shown)
    assert response.status_code == 422
    assert "English, line 2: {guide} is unknown." in words(response)


def test_a_time_of_today_that_has_passed_is_refused(client_of, mina, campaign):
    with time_machine.travel("2026-11-20T12:00+00:00"):
        today = {"send_on": "2026-11-20"}
        for hour, status in (("10:00", 422), ("", 302), ("14:00", 302)):
            response = client_of(mina).post(
                url("change_campaign", campaign), today | {"send_from": hour}
            )
            assert response.status_code == status, hour
            if hour == "10:00":
                assert "This moment has passed." in words(response)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"partner_ids": "99"}, "Nobody has these PartnerIDs: 99."),
        ({"send_from": "10:00"}, "Give a day with the time."),
        ({"words_sv": "Hej\ue000"}, "Remove the character that is not a letter"),
        ({"send_on": "2020-01-01"}, "This day has passed."),
        ({"mails_per_hour": "0"}, "Give at least 1, or nothing"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(client_of, mina, campaign, typed, said):
    response = client_of(mina).post(
        url("change_campaign", campaign), {"words_en": "Kept words"} | typed
    )

    assert response.status_code == 422
    assert said in words(response)
    assert "Kept words" in response.content.decode()


def test_the_preview_shows_any_recipient_in_both_languages_looks_and_parts(
    client_of, oscar, campaign, ida
):
    client = client_of(oscar)
    page = client.get(url("preview_campaign", campaign, f"?person={ida.pk}"))
    assert "Partner Incentive Enrollment Invitation" in words(page)
    assert "Send this to me" not in words(page), "a validator sends none"
    assert page.context["person"] == oscar, "the frame is the reader's own"
    text = client.get(
        url("preview_campaign", campaign, f"?person={ida.pk}&part=text&language=sv")
    )
    assert f"Hej {ida.get_short_name()}" in text.content.decode()
    frame = url("preview_campaign_html", campaign, f"?person={ida.pk}&look=")

    dark, light = client.get(frame + "dark"), client.get(frame + "light")

    assert "@media all {" in dark.content.decode()
    assert "@media not all {" in light.content.decode()
    for response in (dark, light):
        policy = response["Content-Security-Policy"]
        assert "sandbox" in policy
        assert "script-src" not in policy
        assert "default-src 'none'" in policy


def test_whoever_looks_at_a_preview_cannot_switch_off_the_persons_mail(
    client_of, client, oscar, campaign, ida
):
    path = url("preview_campaign", campaign, f"?person={ida.pk}&part=text")
    page = client_of(oscar).get(path).content.decode()
    (link,) = set(re.findall(r"https?://[^/\s]+(/u/[^\s<\"]+)", page))

    client.post(link)

    assert not MutedMail.objects.exists()


def test_a_test_goes_to_who_asks(client_of, mina, campaign, ida):
    response = client_of(mina).post(
        url("test_campaign", campaign),
        {"person": ida.pk, "language": "sv"},
        follow=True,
    )

    assert f"A test is on its way to {mina.email}." in words(response)
    assert OutgoingEmail.objects.get().to_user == mina


def test_who_is_left_out_is_listed_by_reason(client_of, oscar, campaign, malmo):
    page = client_of(oscar).get(url("left_out", campaign, "?why=nobody"))

    assert "Malmö" in words(page)
    assert "Göteborg" not in words(page)


def test_the_link_of_the_mail_counts_once_its_addressee_came_signed_in(
    client_of, client, mina, oscar, campaign, ida
):
    services.confirm_campaign(campaign, people=1, by=mina)
    run(campaign)
    while outbox.deliver().claimed:
        pass
    run(campaign)
    invitation = Invitation.objects.get()
    link = reverse("enrollment:get_started", kwargs={"pk": invitation.pk})
    client.get(link)
    client_of(ida).head(link)
    page = client_of(oscar).get(url("campaign", campaign))
    assert page.context["progress"].opened == 0, "a mail scanner is nobody"

    client_of(ida).get(link)

    page = client_of(oscar).get(url("campaign", campaign))
    assert page.context["progress"].opened == 1
    assert page.context["progress"].outcomes["delivered"] == 1
    log = client_of(oscar).get(url("campaign_log", campaign, "?outcome=delivered"))
    assert ida.email in words(log)
    assert campaign.status == CampaignStatus.FINISHED


def test_a_campaign_s_pages_ask_a_constant_number_of_queries(
    client_of, mina, campaign, ida, django_assert_max_num_queries
):
    client = client_of(mina)
    services.confirm_campaign(campaign, people=1, by=mina)
    run(campaign)
    client.get(url("campaign", campaign))

    for name in ("campaign", "campaign_log"):
        with django_assert_max_num_queries(15):
            client.get(url(name, campaign))
    Campaign.objects.update(began_at=timezone.now())
