"""Addresses that change something: what they answer when they are only looked at."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponseNotAllowed
from django.shortcuts import redirect


def posted(*, instead: Callable) -> Callable:
    """Let a view be posted to; whoever only looks is led to what it is about.

    `instead` gets what the view gets besides the request, and returns an address, a
    name of one or an object with a page. After signing in again, or after choosing
    another language under an error, the browser asks for the address it was sent away
    from: that changes nothing and shows the page the form stands on.
    """

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def only_posted(request: HttpRequest, *row):
            if request.method == "POST":
                return view(request, *row)
            if request.method in ("GET", "HEAD"):
                return redirect(instead(*row))
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])

        return only_posted

    return decorate
