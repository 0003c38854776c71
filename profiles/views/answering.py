"""Answering what the program owner asked about a profile."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.access import recently_authenticated, requires
from accounts.posting import posted
from accounts.roles import Permission
from profiles import services
from profiles.forms import (
    AnswerForm,
    add_errors,
)
from profiles.models import (
    BankProfile,
    TaxProfile,
)
from profiles.views.around import profile_page, questions_to_partner


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@posted(instead=lambda profile: profile)
def answer_bank(request, profile):
    """Answer what the program owner asks about a bank profile."""
    return _answer(request, profile, "profiles/bank_profile.html")


@requires(Permission.PROFILE_EDIT, on=TaxProfile)
@recently_authenticated
@posted(instead=lambda profile: profile)
def answer_tax(request, profile):
    """Answer what the program owner asks about a tax profile."""
    return _answer(request, profile, "profiles/tax_profile.html")


def _answer(request, profile, template):
    question = questions_to_partner(profile).open().first()
    if question is None:
        messages.info(
            request,
            _("This was answered or decided meanwhile. There is nothing to do."),
        )
        return redirect(profile)
    form = AnswerForm(request.POST)
    if request.POST.get("question") != str(question.pk):
        form.add_error(
            None,
            _(
                "The question that you read was answered or decided meanwhile. Read the "
                "one that waits now before you send your answer."
            ),
        )
    if form.is_valid():
        try:
            services.answer_question(question, **form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request, _("Answered. It is the program owner's turn again.")
            )
            return redirect(profile)
    return profile_page(request, profile, template, answer=form)
