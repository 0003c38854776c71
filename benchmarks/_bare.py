"""The portal with one page more: signed in, one query, a few bytes."""

from importlib import import_module

from django.conf import settings
from django.http import HttpResponse
from django.urls import path

from incentives_portal.wsgi import application

__all__ = ["application"]


def bare(request):
    """Say the name of the person's company: the least a signed-in page does."""
    return HttpResponse(request.company.name)


# Once the application is there, its addresses can be read.
urls = import_module(settings.ROOT_URLCONF)
urls.urlpatterns.append(path("bare/", bare, name="bare"))
