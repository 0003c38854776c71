"""What pages of bank and of tax profiles share."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from accounts.roles import Permission
from profiles import bank_drafting, countries, services
from profiles.countries.tax_forms import FORMS, RENEWABLE
from profiles.forms import (
    AnswerForm,
    add_errors,
)
from profiles.models import (
    ReviewQuestion,
    TaxProfileDraft,
)
from profiles.review import compared_versions, turns_of
from profiles.states import CANDIDATE
from profiles.wording import (
    expired_on,
    general_reasons,
    shown_answers,
    shown_sections,
)


def questions_to_partner(profile):
    """What the program owner asked about the version that waits or was returned."""
    about = {f"{profile.part}_version__profile": profile}
    current = {f"{profile.part}_version__status__in": CANDIDATE}
    return ReviewQuestion.objects.to_partner().filter(**about, **current)


def profile_page(request, profile, template, *, answer=None):
    profile = with_history(profile)
    in_force, candidate = profile.version_in_force, profile.candidate
    versions = profile.versions.all()
    turns = turns_of(versions, sees_evidence=False)
    today = timezone.localdate()
    return render(
        request,
        template,
        {
            "profile": profile,
            "statuses": profile.shown_statuses(today),
            "shown": [
                {
                    "version": version,
                    "status": version.shown_status_on(today),
                    "country": countries.country_name(version.country),
                    "sections": shown_sections(version),
                    **_of_tax(version),
                    "general_reasons": general_reasons(version),
                    "stop": _stop_of(version),
                }
                for version in (candidate, in_force)
                if version is not None
            ],
            "in_force": in_force,
            "expired_on": expired_on(in_force, today=today),
            "candidate": candidate,
            "questions": questions_to_partner(profile).select_related(
                f"{profile.part}_version", "answered_by"
            ),
            "history": [(version, turns[version.pk]) for version in versions],
            "answer_form": answer or AnswerForm(),
            "answer_url": reverse(
                f"profiles:answer_{profile.part}", kwargs={"pk": profile.pk}
            ),
            "form": answer,
            "has_errors": answer is not None,
            "discard_url": _discard_url(profile, by=request.user),
            "compare_url": (
                reverse(f"profiles:compare_{profile.part}", kwargs={"pk": profile.pk})
                if len(profile.versions.all()) > 1
                else ""
            ),
            "may_edit": not profile.is_archived and may_edit(request.user, profile),
            "is_to_be_renewed": _is_to_be_renewed(in_force, candidate, on=today),
        },
        status=422 if answer is not None else 200,
    )


def _discard_url(profile, *, by) -> str:
    """Where a change is thrown away that was begun before its profile was put away."""
    if not profile.is_archived:
        return ""
    if profile.part == "bank":
        draft = bank_drafting.change_draft_of(profile, by=by)
        name, key = "profiles:discard_bank_change", profile.pk
    else:
        rows = TaxProfileDraft.objects.unsent().where_user_may(
            by, Permission.PROFILE_EDIT
        )
        draft = rows.filter(profile=profile).first()
        name, key = "profiles:discard_tax_draft", draft and draft.pk
    return reverse(name, kwargs={"pk": key}) if draft is not None else ""


def compare_page(request, profile):
    context = compared_versions(
        profile, old=request.GET.get("old", ""), new=request.GET.get("new", "")
    )
    return render(request, "profiles/compare.html", {"profile": profile, **context})


def _stop_of(version):
    """Who stopped a change, while it is stopped."""
    if not version.is_stopped:
        return None
    return (
        version.stops.open()
        .select_related("stopped_by", "checked_by", "follows")
        .first()
    )


def _is_to_be_renewed(in_force, candidate, *, on) -> bool:
    """Whether the form in force expires within the time that people are told of it."""
    last_day = getattr(in_force, "expires_on", None)
    return candidate is None and last_day is not None and last_day - on <= RENEWABLE


def _of_tax(version) -> dict:
    """What a tax version has besides: its form, the answers, and its documents."""
    if version.part != "tax":
        return {"form_name": "", "answers": [], "documents": []}
    return {
        "form_name": FORMS.get(version.form, version.form),
        "answers": shown_answers(version.country, version.setup),
        "documents": version.documents.without_content(),
    }


def may_edit(user, profile) -> bool:
    rows = type(profile).objects.where_user_may(user, Permission.PROFILE_EDIT)
    return rows.filter(pk=profile.pk).exists()


def archive_page(request, profile, *, then):
    form = forms.Form(data_of(request))
    if request.method == "POST":
        try:
            services.archive_profile(profile, by=request.user)
        except ValidationError as error:
            form.full_clean()
            add_errors(form, error)
        else:
            messages.success(
                request, _("%(name)s is archived.") % {"name": profile.name}
            )
            return redirect(then)
    return render(
        request,
        "profiles/archive.html",
        {
            "form": form,
            "profile": profile,
            "uses": profile.uses_by_name(),
            "defaults": (
                profile.defaults.select_related("location").order_by("location__name")
                if profile.part == "bank"
                else []
            ),
            "replace_url": reverse(
                f"enrollment:replace_{profile.part}", kwargs={"pk": profile.pk}
            ),
        },
        status=422 if form.errors else 200,
    )


def with_history(profile):
    """The same profile with its versions and uses, for a page of its own."""
    return type(profile).objects.with_uses().with_history().get(pk=profile.pk)


def put_away(request, profile):
    messages.info(
        request,
        _("%(name)s is archived and cannot be changed.") % {"name": profile.name},
    )
    return redirect(profile)


def sent_off(request, profile):
    messages.success(
        request,
        _("%(name)s is sent for validation. It is usually answered within two days.")
        % {"name": profile.name},
    )
    return redirect(return_to(request) or profile)


def data_of(request):
    return request.POST if request.method == "POST" else None


def return_to(request) -> str:
    """Where the person came from: a path of this portal, or nothing."""
    target = request.GET.get("next", "")
    is_own = target.startswith("/") and url_has_allowed_host_and_scheme(
        target, allowed_hosts=None
    )
    return target if is_own else ""


def carried_along(request) -> dict[str, str]:
    """What the address says besides the step, for the next step's address."""
    carried = {"next": return_to(request), "need": request.GET.get("need", "")}
    return {name: value for name, value in carried.items() if value}
