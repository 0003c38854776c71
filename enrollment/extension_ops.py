"""Operators: who asked for more time to enroll, and what they are answered."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import operator_requires
from accounts.posting import posted
from enrollment import services
from enrollment.extension_forms import AnswerExtensionForm
from enrollment.models import ExtensionRequest
from profiles.forms import add_errors

VIEW = "enrollment.view_programterms"
SEND = "enrollment.send_invitations"
PER_PAGE = 20


@operator_requires(VIEW)
@require_safe
def extensions(request):
    """List who asked for more time, the longest waiting first."""
    return _page(request)


@operator_requires(SEND, on=ExtensionRequest)
@posted(instead=lambda asked: "ops:extensions")
def answer_extension(request, asked):
    """Grant a later last day, or say why it stays."""
    form = AnswerExtensionForm(request.POST, auto_id=f"{asked.pk}_%s")
    if form.is_valid():
        try:
            services.answer_extension(asked, by=request.user, **form.chosen)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _("The partner reads your answer."))
            return redirect("ops:extensions")
    return _page(request, answered=asked, form=form, status=422)


def _page(request, *, answered=None, form=None, status=200):
    found = (
        ExtensionRequest.objects.open()
        .select_related(
            "enrollment__location__partner_account",
            "enrollment__terms__program",
            "enrollment__terms__fiscal_year__calendar",
            "asked_by",
        )
        .order_by("asked_at", "pk")
    )
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    may_answer, now = request.user.has_perm(SEND), timezone.now()
    context = {
        "page": page,
        "rows": [
            {
                "asked": one,
                "enrollment": one.enrollment,
                "why_not": services.why_not_asking(one.enrollment, at=now),
                "form": _form_of(one, answered, form) if may_answer else None,
            }
            for one in page
        ],
        "forms": [form] if form else [],
        "has_errors": status != 200,
    }
    return render(request, "ops/extensions.html", context, status=status)


def _form_of(one, answered, form):
    if answered is not None and one.pk == answered.pk:
        return form
    return AnswerExtensionForm(auto_id=f"{one.pk}_%s")
