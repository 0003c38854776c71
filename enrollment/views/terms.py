"""What a partner reads of a program's terms: those accepted, those in force, guides."""

from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.access import requires
from accounts.roles import Permission
from enrollment.models import Enrollment, ProgramAtLocation, TermsVersion
from enrollment.program_rows import guide_name, sections_of, shown_guides
from enrollment.versions import PARTNERS_SECTIONS, content_of, differences
from profiles.downloads import attached


@requires(Permission.ENROLLMENT_VIEW, on=Enrollment)
@require_safe
def terms(request, enrollment):
    """Show the terms that were accepted for an enrollment, and what changed since."""
    in_force = content_of(enrollment.terms)
    accepted = _accepted(enrollment)
    content = accepted.content if accepted else in_force
    place = ProgramAtLocation.objects.filter(
        location=enrollment.location_id, terms=enrollment.terms_id
    ).first()
    context = {
        "enrollment": enrollment,
        "place": place,
        "location": enrollment.location,
        "program": enrollment.terms.program,
        "year": enrollment.terms.fiscal_year,
        "accepted": accepted,
        "sections": sections_of(content, sections=PARTNERS_SECTIONS),
        "changes": differences(content, in_force, sections=PARTNERS_SECTIONS),
        "guides": shown_guides(
            program=enrollment.terms.program, year=enrollment.terms.fiscal_year
        ),
    }
    return render(request, "enrollment/terms.html", context)


@requires(Permission.ENROLLMENT_VIEW, on=ProgramAtLocation)
@require_safe
def guide(request, place):
    """Hand out a guide of a program's year as a file; which, says the address."""
    wanted = request.GET.get("file", "")
    if not wanted:
        return redirect("enrollment:program", pk=place.pk)
    guides = shown_guides(program=place.program, year=place.terms.fiscal_year)
    found = next((one for one in guides if str(one.pk) == wanted), None)
    if found is None:
        raise Http404
    return attached(
        bytes(found.content), content_type=found.content_type, name=guide_name(found)
    )


def _accepted(enrollment: Enrollment) -> TermsVersion | None:
    """The version that was in force when it was accepted, as far as it is known."""
    if not enrollment.is_accepted:
        return None
    versions = enrollment.terms.versions
    if enrollment.terms_version:
        return versions.filter(number=enrollment.terms_version).first()
    # Accepted before versions were kept, or carried over: the one of its moment.
    begins_at = enrollment.terms.fiscal_year.begins_at
    since = max(enrollment.accepted_at, enrollment.invited_at, begins_at)
    earlier = versions.filter(published_at__lte=since).order_by("-number")
    return earlier.first() or versions.order_by("number").first()
