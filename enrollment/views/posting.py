"""Addresses that change something: what they answer when they are only looked at."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponseNotAllowed
from django.shortcuts import redirect

from enrollment.models import Enrollment, Invitation, ProgramAtLocation


def posted(view: Callable) -> Callable:
    """Let a view be posted to; whoever only looks is led to what it is about.

    After signing in again the browser asks for the address it was sent away from:
    that changes nothing and shows the enrollment.
    """

    @wraps(view)
    def only_posted(request: HttpRequest, row):
        if request.method == "POST":
            return view(request, row)
        if request.method in ("GET", "HEAD"):
            return redirect(_page_of(row))
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])

    return only_posted


def _page_of(row: Enrollment | Invitation | ProgramAtLocation) -> Enrollment | str:
    enrollment = row if isinstance(row, Enrollment) else row.enrollment
    return enrollment or "enrollment:overview"
