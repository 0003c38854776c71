"""The portal with one page more: signed in, one query, a few bytes."""

from django.http import HttpResponse
from django.urls import path

from incentives_portal import urls
from incentives_portal.wsgi import application

__all__ = ["application"]


def bare(request):
    """Say the name of the person's company: the least a signed-in page does."""
    return HttpResponse(request.company.name)


urls.urlpatterns.append(path("bare/", bare, name="bare"))
