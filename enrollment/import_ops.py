"""Operators: measured values come in, from the file to the difference (O3)."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import operator_requires, recently_authenticated
from accounts.forms import without_fields
from accounts.posting import posted
from accounts.uploads import takes_large_files
from enrollment import differences, services, value_files
from enrollment.import_forms import (
    AnswerForm,
    ApplyForm,
    ColumnsForm,
    ReleaseForm,
    UploadForm,
)
from enrollment.models import Criterion, RequirementDispute, ValueImport

VIEW = "enrollment.view_valueimport"
IMPORT = services.IMPORT
RELEASE = services.RELEASE
PER_PAGE = 25
# Seconds until a page that waits for the workers looks again by itself.
LOOK_AGAIN = 5


def _page_of(value_import: ValueImport) -> str:
    return value_import.get_absolute_url()


@operator_requires(VIEW)
@require_safe
def imports(request):
    """List the files that came in, and take another one."""
    return _list_page(request)


@takes_large_files(IMPORT, most=value_files.MOST_BYTES)
@operator_requires(IMPORT)
@posted(instead=lambda: "ops:imports")
def upload(request):
    """Take a file in; its columns are named next."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _list_page(request, form=form, status=422)
    file = form.cleaned_data["file"]
    try:
        kept = services.keep_file(file.chunks(), name=file.name, by=request.user)
    except ValidationError as error:
        form.add_error("file", error)
        return _list_page(request, form=form, status=422)
    if kept.is_known:
        messages.warning(request, _("This file is here already. Nothing in it is new."))
        return redirect(kept.value_import)
    return redirect("ops:import_columns", pk=kept.value_import.pk)


@operator_requires(VIEW)
@require_safe
def template(request):
    """Hand out a file that shows how a file is written."""
    return _table("measured-values.csv", differences.template_lines())


@operator_requires(IMPORT, on=ValueImport)
@require_http_methods(["GET", "HEAD", "POST"])
def columns(request, value_import):
    """Show the first rows, and ask which column is which."""
    if not value_import.is_uploaded:
        return redirect(value_import)
    wanted = request.POST.get("delimiter") or request.GET.get("delimiter", "")
    delimiter = wanted if wanted in value_files.DELIMITERS else ""
    try:
        first = services.first_rows(value_import, delimiter=delimiter)
    except ValidationError as error:
        return _unread_page(request, value_import, error, delimiter=delimiter)
    if request.method != "POST":
        return _columns_page(request, value_import, first, ColumnsForm(first=first))
    form = ColumnsForm(request.POST, first=first)
    if form.is_valid():
        try:
            services.name_columns(
                value_import,
                columns=form.columns,
                delimiter=first.delimiter,
                by=request.user,
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return redirect(value_import)
    return _columns_page(request, value_import, first, form, status=422)


@operator_requires(VIEW, on=ValueImport)
@require_safe
def value_import(request, value_import):
    """Show one file: how far it is, the difference, and the next step."""
    return _import_page(request, value_import)


@operator_requires(IMPORT, on=ValueImport)
@posted(instead=_page_of)
def apply(request, value_import):
    """Let the values count, from a day on."""
    form = ApplyForm(request.POST, value_import=value_import)
    if form.is_valid():
        try:
            services.apply_import(value_import, by=request.user, **form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return redirect(value_import)
    return _import_page(request, value_import, apply_form=form, status=422)


@operator_requires(RELEASE, on=ValueImport)
@recently_authenticated
@posted(instead=_page_of)
def release(request, value_import):
    """Let a held import through, as the second operator, with a reason."""
    form = ReleaseForm(request.POST)
    if form.is_valid():
        try:
            services.release_import(value_import, by=request.user, **form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("Let through. It can be applied now."))
            return redirect(value_import)
    return _import_page(request, value_import, release_form=form, status=422)


@operator_requires(IMPORT, on=ValueImport)
@posted(instead=_page_of)
def cancel(request, value_import):
    """Give a file up before its values count."""
    return _taken(
        request,
        value_import,
        services.cancel_import,
        _("Canceled. Nothing of the file counts."),
    )


@operator_requires(IMPORT, on=ValueImport)
@posted(instead=_page_of)
def retry(request, value_import):
    """Let workers go on with a file that was set aside."""
    return _taken(request, value_import, services.retry_import, _("It is tried again."))


@operator_requires(IMPORT, on=ValueImport)
@posted(instead=_page_of)
def undo(request, value_import):
    """Take an import back within its day."""
    return _taken(
        request,
        value_import,
        services.undo_import,
        _("Undone. What was known before counts again."),
    )


@operator_requires(VIEW, on=ValueImport)
@require_safe
def problems(request, value_import):
    """Write the rejected lines as a table."""
    return _export(request, value_import, "problems")


@operator_requires(VIEW, on=ValueImport)
@require_safe
def effects(request, value_import):
    """Write what becomes eligible, or not so, as a table."""
    return _export(request, value_import, "eligibility")


@operator_requires(VIEW, on=ValueImport)
@require_safe
def values(request, value_import):
    """Write what values are new or change, as a table."""
    return _export(request, value_import, "values")


@operator_requires(VIEW)
@require_safe
def disputes(request):
    """List what partners dispute, the longest waiting first."""
    return _disputes_page(request)


@operator_requires(IMPORT, on=RequirementDispute)
@posted(instead=lambda dispute: "ops:disputes")
def answer_dispute(request, dispute):
    """Answer what a partner disputed."""
    form = AnswerForm(request.POST, auto_id=f"{dispute.pk}_%s")
    if form.is_valid():
        try:
            services.answer_dispute(dispute, by=request.user, **form.cleaned_data)
        except ValidationError as error:
            messages.warning(request, " ".join(error.messages))
        else:
            messages.success(request, _("The partner reads your answer."))
        return redirect("ops:disputes")
    return _disputes_page(request, answered=dispute, form=form, status=422)


def _disputes_page(request, *, answered=None, form=None, status=200):
    found = differences.open_disputes()
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    may_answer = request.user.has_perm(IMPORT)
    rows = []
    for row in differences.dispute_rows(page):
        own = None
        if may_answer:
            is_this = answered is not None and row["dispute"].pk == answered.pk
            fresh = AnswerForm(auto_id=f"{row['dispute'].pk}_%s")
            own = form if is_this else fresh
        rows.append(row | {"form": own})
    context = {
        "page": page,
        "rows": rows,
        "forms": [form] if form else [],
        "has_errors": status != 200,
    }
    return render(request, "ops/disputes.html", context, status=status)


def _taken(request, value_import, step, sentence):
    try:
        step(value_import, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        messages.success(request, sentence)
    return redirect(value_import)


def _export(request, value_import, name: str) -> StreamingHttpResponse:
    lines = differences.TABLES[name](value_import, language=request.LANGUAGE_CODE)
    return _table(f"import-{value_import.pk}-{name}.csv", lines)


def _table(name: str, lines) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _list_page(request, *, form=None, status=200):
    found = ValueImport.objects.select_related("imported_by", "cancellation")
    found = found.order_by("-pk")
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form or UploadForm(),
        "has_errors": status != 200,
        "page": page,
        "imports": [(one, differences.shown_import(one)) for one in page],
        "criteria": Criterion.objects.order_by("code"),
        "disputed": differences.open_disputes().count(),
        "may_import": request.user.has_perm(IMPORT),
    }
    return render(request, "ops/imports.html", context, status=status)


def _columns_page(request, value_import, first, form, *, status=200):
    context = {
        "value_import": value_import,
        "first": first,
        "form": form,
        "delimiter": first.delimiter,
        "delimiters": value_files.DELIMITERS.items(),
        "fields": [form[name] for name in value_files.FIELDS],
    }
    return render(request, "ops/import_columns.html", context, status=status)


def _unread_page(request, value_import, error, *, delimiter):
    """Say why the first rows cannot be read so, and let another delimiter be chosen."""
    context = {
        "value_import": value_import,
        "problem": " ".join(error.messages),
        "delimiter": delimiter,
        "delimiters": value_files.DELIMITERS.items(),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "ops/import_columns.html", context, status=status)


def _import_page(
    request, value_import, *, apply_form=None, release_form=None, status=200
):
    one = ValueImport.objects.select_related(
        "imported_by", "released_by", "apply_by", "undone_by", "cancellation"
    ).get(pk=value_import.pk)
    if apply_form and not one.is_ready:
        without_fields(apply_form)
    if release_form and not one.is_held:
        without_fields(release_form)
    now = timezone.now()
    is_moving = not one.is_set_aside and (
        one.is_reading
        or one.is_being_canceled
        or (one.is_applying and one.effective_on <= timezone.localdate(now))
    )
    context = {
        "value_import": one,
        "status": differences.shown_import(one),
        "stages": differences.stages_of(one),
        "problem": differences.problem_of(one),
        "parts": differences.difference_rows(one) if one.compared_at else [],
        "gained": differences.sample_effects(one.effects.filter(becomes="met")),
        "lost": differences.sample_effects(one.effects.losing()),
        "found_out": differences.sample_effects(one.effects.found_out()),
        "sample": differences.sample_values(one) if one.compared_at else [],
        "unknown_locations": differences.unknown_names(one, "location"),
        "unknown_criteria": differences.unknown_names(one, "criterion"),
        "problems": differences.sample_problems(one),
        "is_too_much": services.is_too_much(one),
        "percent": services.hold_percent(),
        "share": differences.share_of(one),
        "look_again": LOOK_AGAIN if is_moving else 0,
        "waits_for_day": one.is_applying and not is_moving and not one.is_set_aside,
        "given_up_at": services.given_up_at(one),
        "undo_until": one.applied_at and one.applied_at + services.TIME_TO_UNDO,
        "why_not_undoing": services.why_not_undoing(one, at=now),
        "may_import": request.user.has_perm(IMPORT),
        "may_release": request.user.has_perm(RELEASE),
        "is_own": one.imported_by_id == request.user.pk,
        "apply_form": apply_form or ApplyForm(value_import=one),
        "release_form": release_form or ReleaseForm(),
        "form": apply_form or release_form,
        "has_errors": status != 200,
    }
    return render(request, "ops/value_import.html", context, status=status)
