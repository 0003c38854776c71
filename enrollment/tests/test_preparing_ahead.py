"""Preparing an enrollment without the role: filled in by one, sent by another."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.models import OutgoingEmail
from enrollment import services
from enrollment.models import Enrollment
from profiles.models import BankProfile, PreparedPart
from profiles.preparing import end_part
from profiles.tests.factories import BANK_DETAILS


def test_a_reader_prepares_and_only_an_admin_sends(client_of, invited, uma, ida):
    web = client_of(uma)
    assert "Prepare it" in web.get(invited.get_absolute_url()).content.decode()
    prepare = reverse("enrollment:prepare", kwargs={"pk": invited.pk})
    page = web.post(prepare, {"section": "bank"}).url
    part = PreparedPart.objects.get()
    assert (page, part.email) == (
        reverse("profiles:part", kwargs={"pk": part.pk}),
        uma.email,
    )
    # Going on is not beginning anew.
    assert web.post(prepare, {"section": "bank"}).url == page

    web.post(page, {"bank_country": "SE", **BANK_DETAILS})

    assert not BankProfile.objects.exists()
    assert OutgoingEmail.objects.get(name="part_filled").to_user == ida
    check = reverse("profiles:check_part", kwargs={"pk": part.pk})
    # What was handed in is not hers to see or to send, nor to submit.
    assert web.get(check).status_code == 404
    submit = reverse("enrollment:submit", kwargs={"pk": invited.pk})
    assert web.post(submit).status_code == 403
    assert "Check: Bank details" in client_of(ida).get("/").content.decode()
    assert client_of(ida).get(check).status_code == 200

    # Whoever is to check it is told at the enrollment, too, until it is done with.
    def told(by, page="enrollment:detail") -> bool:
        shown = client_of(by).get(reverse(page, kwargs={"pk": invited.pk}))
        html = shown.content.decode()
        assert (check in html) == ("filled in bank details for" in html)
        return check in html

    assert (told(ida), told(uma)) == (True, False)
    services.accept_enrollment(invited, by=ida)
    assert (told(ida), told(ida, "enrollment:profiles")) == (True, True)
    end_part(part, by=ida)
    assert (told(ida), told(ida, "enrollment:profiles")) == (False, False)


def test_nothing_is_prepared_where_one_may_not_look_or_nothing_is_to_do(
    client_of, invited, uma, sam
):
    prepare = reverse("enrollment:prepare", kwargs={"pk": invited.pk})
    assert client_of(sam).post(prepare, {"section": "bank"}).status_code == 404
    for by, section in ((sam, "bank"), (uma, "numbers")):
        with pytest.raises(ValidationError):
            services.prepare_enrollment(invited, section=section, by=by)
    Enrollment.objects.update(status="discontinued")
    with pytest.raises(ValidationError):
        services.prepare_enrollment(invited, section="bank", by=uma)
    assert not PreparedPart.objects.exists()
