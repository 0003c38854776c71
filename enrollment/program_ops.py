"""Operators: the program editor (experience.md O2), from the draft to what is in force."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import operator_requires, recently_authenticated
from accounts.models import IncentiveProgram
from accounts.posting import posted
from accounts.typed import keeps_typed, refilled
from enrollment import program_rows as rows
from enrollment import services
from enrollment.models import (
    Criterion,
    FiscalCalendar,
    GuideFile,
    ProgramTerms,
    TermsDraft,
    TermsVersion,
)
from enrollment.program_forms import (
    SECTION_FORMS,
    AddCalendarForm,
    AddCriterionForm,
    AddProgramForm,
    BeginDraftForm,
    CalendarForm,
    CriterionForm,
    GuideForm,
    IdentityForm,
    PublishForm,
)
from enrollment.versions import (
    SECTION_NAMES,
    SECTIONS,
    content_of,
    differences,
    facts,
    worded,
)
from profiles.downloads import attached
from profiles.forms import add_errors

VIEW = "enrollment.view_programterms"
CHANGE = "enrollment.change_programterms"
ADD = "accounts.add_incentiveprogram"
LANGUAGES = ("en", "sv")
FORM_METHODS = ["GET", "HEAD", "POST"]


def _program_page(program: IncentiveProgram) -> str:
    return reverse("ops:program", kwargs={"pk": program.pk})


def _draft_page(draft: TermsDraft) -> str:
    return draft.get_absolute_url()


# --- Programs and their years -----------------------------------------------------------


@operator_requires(VIEW)
@require_safe
def programs(request):
    """List the programs, and where the terms of each stand."""
    listed, as_of = rows.program_list(timezone.now())
    context = {
        "rows": listed,
        "as_of": as_of,
        "may_change": request.user.has_perm(CHANGE),
    }
    return render(request, "ops/programs.html", context)


@operator_requires(VIEW, on=IncentiveProgram)
@require_safe
def program(request, program):
    """Show one program: what it is, and its years."""
    context = {
        "program": program,
        "years": rows.year_rows(program, timezone.now()),
        "may_change": request.user.has_perm(CHANGE),
    }
    return render(request, "ops/program.html", context)


@operator_requires(ADD)
@require_http_methods(FORM_METHODS)
def add_program(request):
    """Add a program, empty or as a copy; its first year is a draft."""
    years, terms = rows.writable_years(timezone.now()), rows.copyable_terms()
    copied = terms.filter(pk=_number(request.GET.get("copy"))).first()
    form = AddProgramForm(
        request.POST or None,
        years=years,
        terms=terms,
        initial={
            "copy_of": copied,
            "fiscal_year": years.first(),
            "summary_en": copied.program.summary_en if copied else "",
            "summary_sv": copied.program.summary_sv if copied else "",
        },
    )
    if request.method == "POST" and form.is_valid():
        try:
            draft = services.add_program(**form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request,
                _("Added. No partner sees it before its first terms are published."),
            )
            return redirect(draft)
    context = {"form": form, "program": None, "has_years": years.exists()}
    return _form_page(request, "ops/program_form.html", form, context)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


@operator_requires(CHANGE, on=IncentiveProgram)
@require_http_methods(FORM_METHODS)
@keeps_typed
def change_program(request, program):
    """Call a program otherwise; that counts at once, for every year."""
    names = ("name", "summary_en", "summary_sv")
    form = IdentityForm(
        request.POST or None, initial={name: getattr(program, name) for name in names}
    )
    form = refilled(request, form)
    if request.method == "POST" and form.is_valid():
        services.change_program(program, **form.cleaned_data, by=request.user)
        messages.success(request, _("Saved."))
        return redirect(_program_page(program))
    context = {"form": form, "program": program, "has_years": True}
    return _form_page(request, "ops/program_form.html", form, context)


@operator_requires(CHANGE, on=IncentiveProgram)
@recently_authenticated
@require_http_methods(FORM_METHODS)
def discontinue_program(request, program):
    """Say what ends with a program, then end it (R67)."""
    if program.discontinued_at is not None:
        return redirect(_program_page(program))
    counts = rows.discontinued_counts(program)
    number = sum(count for _status, count in counts)
    form = PublishForm(
        request.POST or None,
        initial={"seen": str(number)},
        label=ngettext(
            "I have seen that %(count)d enrollment ends. This cannot be undone.",
            "I have seen that %(count)d enrollments end. This cannot be undone.",
            number,
        )
        % {"count": number},
    )
    if request.method == "POST" and form.is_valid():
        if form.cleaned_data["seen"] != str(number):
            form.add_error(None, _("The numbers have changed. Look at them again."))
        elif not form.cleaned_data["is_confirmed"]:
            form.add_error("is_confirmed", _("Confirm that you have seen what ends."))
        else:
            ended = services.discontinue_program(program, by=request.user)
            messages.success(
                request,
                ngettext(
                    "%(program)s is discontinued; %(count)d enrollment ended.",
                    "%(program)s is discontinued; %(count)d enrollments ended.",
                    ended,
                )
                % {"program": program.name, "count": ended},
            )
            return redirect(_program_page(program))
    context = {
        "form": form,
        "program": program,
        "counts": counts,
        "seen": str(number),
    }
    return _form_page(request, "ops/discontinue_program.html", form, context)


@operator_requires(CHANGE, on=IncentiveProgram)
@require_http_methods(FORM_METHODS)
def begin_draft(request, program):
    """Begin to write a year of a program."""
    terms = rows.copyable_terms()
    form = BeginDraftForm(
        request.POST or None,
        years=rows.writable_years(timezone.now()),
        terms=terms,
        initial={"copy_of": terms.filter(program=program).first()},
    )
    if request.method == "POST" and form.is_valid():
        try:
            draft = services.begin_terms_draft(
                program, **form.cleaned_data, by=request.user
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            return redirect(draft)
    context = {"form": form, "program": program}
    return _form_page(request, "ops/begin_draft.html", form, context)


# --- A draft ----------------------------------------------------------------------------


@operator_requires(VIEW, on=TermsDraft)
@require_safe
def terms_draft(request, draft):
    """Show a draft: its sections, and what it says otherwise than what is in force."""
    context = rows.draft_page(draft) | {"may_change": request.user.has_perm(CHANGE)}
    return render(request, "ops/terms_draft.html", context)


def _section(name: str):
    """Make the view that edits one section of a draft, a step of all."""
    names = list(SECTIONS)
    number = names.index(name) + 1
    following = (*names, "")[number]

    @operator_requires(CHANGE, on=TermsDraft)
    @require_http_methods(FORM_METHODS)
    @keeps_typed
    def view(request, draft):
        back = f"{_draft_page(draft)}#{name}"
        form = SECTION_FORMS[name](
            request.POST or None,
            content=draft.content,
            year=draft.fiscal_year,
            initial={"seen": services.section_digest(draft, name)},
        )
        form = refilled(request, form)
        status = 200
        if request.method == "POST" and getattr(form, "wants_more", False):
            form = form.with_more()
        elif request.method == "POST":
            if form.is_valid() and _save_section(request, draft, name, form):
                goes_on = following and "go_on" in request.POST
                return redirect(_section_page(draft, following) if goes_on else back)
            status = 422
        context = {
            "form": form,
            "draft": draft,
            "program": draft.program,
            "year": draft.fiscal_year,
            "section": name,
            "title": SECTION_NAMES[name],
            "back_url": back,
            "following": SECTION_NAMES[following] if following else "",
            "number": number,
            "total": len(names),
            "saved": facts(worded(draft.content), name)
            if getattr(form, "was_changed_meanwhile", False)
            else [],
            "seen": services.section_digest(draft, name)
            if getattr(form, "was_changed_meanwhile", False)
            else form["seen"].value(),
        }
        return render(request, "ops/terms_section.html", context, status=status)

    view.__doc__ = f"Write the section “{name}” of a draft."
    return view


def _section_page(draft: TermsDraft, name: str) -> str:
    return reverse(f"ops:draft_{name}", kwargs={"pk": draft.pk})


def _save_section(request, draft, name: str, form) -> bool:
    try:
        services.change_terms_draft(
            draft,
            section=name,
            values=form.values,
            seen=form.cleaned_data["seen"],
            by=request.user,
        )
    except ValidationError as error:
        form.was_changed_meanwhile = error.code == "changed"
        form.add_error(None, error)
        draft.refresh_from_db()
        return False
    messages.success(request, _("Saved in the draft."))
    return True


draft_who = _section("who")
draft_requirements = _section("requirements")
draft_earnings = _section("earnings")
draft_payment = _section("payment")
draft_dates = _section("dates")
draft_agreement = _section("agreement")
draft_sender = _section("sender")


@operator_requires(CHANGE, on=TermsDraft)
@posted(instead=_draft_page)
def discard_draft(request, draft):
    """Throw a draft away."""
    services.discard_terms_draft(draft, by=request.user)
    messages.success(request, _("The draft is thrown away. What is in force stays."))
    return redirect(_program_page(draft.program))


@operator_requires(VIEW, on=TermsDraft)
@require_safe
def preview_draft(request, draft):
    """Show a draft as partners will read it, in both languages."""
    now = timezone.now()

    def look(terms):
        views = []
        for language in LANGUAGES:
            with translation.override(language):
                view = rows.partners_view(terms, at=now)
            views.append((language, view))
        return views

    try:
        views = services.rehearsed_terms(draft, look)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect(draft)
    context = {
        "draft": draft,
        "program": draft.program,
        "year": draft.fiscal_year,
        "views": views,
        "back_url": _draft_page(draft),
    }
    return render(request, "ops/terms_preview.html", context)


@operator_requires(CHANGE, on=TermsDraft)
@recently_authenticated
@require_http_methods(FORM_METHODS)
def publish_draft(request, draft):
    """Say first what publishing does to enrollments, then publish."""
    if rows_problems := services.problems_of(draft):
        messages.warning(request, rows_problems[0][1])
        return redirect(draft)
    form = PublishForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            version = services.publish_terms(
                draft, **form.cleaned_data, by=request.user
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request,
                _("Version %(number)s is in force now.") % {"number": version.number},
            )
            return redirect(version)
    # Publishing asks by itself: only a page says it once more.
    effects = services.foresee_publishing(draft, at=timezone.now())
    form.fields["is_confirmed"].label = _confirmation(effects.enrollments)
    context = {
        "form": form,
        "draft": draft,
        "program": draft.program,
        "year": draft.fiscal_year,
        "in_force": rows.terms_in_force(draft),
        "differences": rows.draft_differences(draft),
        "effects": effects,
        "effect_rows": rows.effect_rows(effects),
        "seen": effects.digest,
    }
    return _form_page(request, "ops/publish_terms.html", form, context)


@operator_requires(CHANGE, on=TermsDraft)
@require_safe
def stranded_enrollments(request, draft):
    """Hand out every enrollment that publishing would strand, as a table."""
    try:
        table = rows.stranded_table(
            draft, at=timezone.now(), language=request.LANGUAGE_CODE
        )
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect(draft)
    name = f"{draft.program.code}-{draft.fiscal_year.number}-publish.csv"
    response = StreamingHttpResponse(table, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _confirmation(number: int) -> str:
    return ngettext(
        "I have seen what becomes of %(count)d enrollment.",
        "I have seen what becomes of %(count)d enrollments.",
        number,
    ) % {"count": number}


# --- What is in force, and was ----------------------------------------------------------


@operator_requires(VIEW, on=ProgramTerms)
@require_safe
def terms(request, terms):
    """Show what a program's year says now, and its versions."""
    year, program = terms.fiscal_year, terms.program
    context = {
        "terms": terms,
        "program": program,
        "year": year,
        "sections": rows.sections_of(content_of(terms)),
        "versions": terms.versions.select_related("published_by").defer("content"),
        "guides": rows.shown_guides(program=program, year=year),
        "draft": program.terms_drafts.filter(fiscal_year=year).first(),
        "may_change": request.user.has_perm(CHANGE),
    }
    return render(request, "ops/terms.html", context)


@operator_requires(VIEW, on=TermsVersion)
@require_safe
def terms_version(request, version):
    """Show one version, and what it says otherwise than another one."""
    others = list(
        version.terms.versions.exclude(pk=version.pk)
        .defer("content")
        .order_by("-number")
    )
    wanted = _number(request.GET.get("with"))
    before = [one for one in others if one.number < version.number]
    other = next((one for one in others if one.number == wanted), None) or next(
        iter(before), None
    )
    older, newer = (
        sorted((version, other), key=lambda one: one.number)
        if other
        else (None, version)
    )
    context = {
        "version": version,
        "program": version.terms.program,
        "year": version.terms.fiscal_year,
        "is_in_force": version.number == version.terms.version,
        "sections": rows.sections_of(version.content),
        "others": others,
        "older": older,
        "newer": newer,
        "differences": differences(older.content, newer.content) if older else [],
    }
    return render(request, "ops/terms_version.html", context)


# --- Guides -----------------------------------------------------------------------------


@operator_requires(CHANGE, on=IncentiveProgram)
@require_http_methods(FORM_METHODS)
def add_guide(request, program):
    """Add a guide of one of a program's years, as a file."""
    years = rows.years_of(program)
    form = GuideForm(
        request.POST or None,
        request.FILES or None,
        years=years,
        initial={
            "fiscal_year": years.filter(pk=_number(request.GET.get("year"))).first()
        },
    )
    if request.method == "POST" and form.is_valid():
        answers = dict(form.cleaned_data)
        file = answers.pop("file")
        try:
            guide = services.add_guide(
                program, **answers, content=file.read(), size=file.size, by=request.user
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request, _("“%(title)s” is added.") % {"title": guide.title}
            )
            return redirect(_program_page(program))
    context = {"form": form, "program": program}
    return _form_page(request, "ops/guide_form.html", form, context)


@operator_requires(VIEW, on=GuideFile)
@require_safe
def guide(request, guide):
    """Hand a guide out as a file."""
    return attached(
        bytes(guide.content),
        content_type=guide.content_type,
        name=rows.guide_name(guide),
    )


@operator_requires(CHANGE, on=GuideFile)
@posted(instead=lambda guide: _program_page(guide.program))
def remove_guide(request, guide):
    """Take a guide away from partners."""
    services.remove_guide(guide, by=request.user)
    messages.success(request, _("“%(title)s” is taken away.") % {"title": guide.title})
    return redirect(_program_page(guide.program))


# --- Criteria and calendars ---------------------------------------------------------------


@operator_requires("enrollment.view_criterion")
@require_safe
def criteria(request):
    """List what can be measured of locations, and what asks for it."""
    context = {
        "criteria": rows.criteria_list(),
        "may_change": request.user.has_perm("enrollment.change_criterion"),
    }
    return render(request, "ops/criteria.html", context)


@operator_requires("enrollment.add_criterion")
@require_http_methods(FORM_METHODS)
def add_criterion(request):
    """Add something that can be measured."""
    form = AddCriterionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.add_criterion(**form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _("Added. Programs can ask for it now."))
            return redirect("ops:criteria")
    context = {"form": form, "criterion": None}
    return _form_page(request, "ops/criterion.html", form, context)


@operator_requires("enrollment.change_criterion", on=Criterion)
@require_http_methods(FORM_METHODS)
def change_criterion(request, criterion):
    """Say it better; that counts at once, for every program that asks for it."""
    form = CriterionForm(
        request.POST or None,
        initial={name: getattr(criterion, name) for name in CriterionForm.base_fields},
    )
    if request.method == "POST" and form.is_valid():
        try:
            services.change_criterion(criterion, **form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _("Saved."))
            return redirect("ops:criteria")
    context = {"form": form, "criterion": criterion}
    return _form_page(request, "ops/criterion.html", form, context)


@operator_requires("enrollment.view_fiscalyear")
@require_safe
def calendars(request):
    """List the fiscal calendars and their years."""
    context = {
        "calendars": FiscalCalendar.objects.prefetch_related("years"),
        "may_change": request.user.has_perm("enrollment.change_fiscalcalendar"),
    }
    return render(request, "ops/calendars.html", context)


@operator_requires("enrollment.add_fiscalcalendar")
@require_http_methods(FORM_METHODS)
def add_calendar(request):
    """Add a rhythm of years."""
    form = AddCalendarForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.add_fiscal_calendar(
                **form.cleaned_data, at=timezone.now(), by=request.user
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _("Added, with this year and the next."))
            return redirect("ops:calendars")
    context = {"form": form, "calendar": None}
    return _form_page(request, "ops/calendar_form.html", form, context)


@operator_requires("enrollment.change_fiscalcalendar", on=FiscalCalendar)
@require_http_methods(FORM_METHODS)
def change_calendar(request, calendar):
    """Call it something else; everybody reads that at once."""
    form = CalendarForm(
        request.POST or None,
        initial={name: getattr(calendar, name) for name in CalendarForm.base_fields},
    )
    if request.method == "POST" and form.is_valid():
        services.change_fiscal_calendar(calendar, **form.cleaned_data, by=request.user)
        messages.success(request, _("Saved."))
        return redirect("ops:calendars")
    context = {"form": form, "calendar": calendar}
    return _form_page(request, "ops/calendar_form.html", form, context)


@operator_requires("enrollment.change_fiscalcalendar", on=FiscalCalendar)
@posted(instead=lambda calendar: reverse("ops:calendars"))
def add_year(request, calendar):
    """Add the next year of a calendar."""
    year = services.add_fiscal_year(calendar, by=request.user)
    messages.success(
        request,
        _("Fiscal year %(year)s of %(calendar)s is added.")
        % {"year": year.number, "calendar": calendar.title},
    )
    return redirect("ops:calendars")


def _form_page(request, template: str, form, context: dict):
    status = 422 if form.is_bound and form.errors else 200
    return render(request, template, context, status=status)
