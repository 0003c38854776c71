"""Thousands of requests, spared what a few of them show: pages that refuse, the trail."""

import logging

from django.template.backends.django import Template
from django.template.base import Template as BareTemplate

from accounts import services

REFUSALS = frozenset({"403.html", "404.html"})


class Sparing:
    """Says which pages that only refuse are drawn, and whether the trail is written.

    At first all are, and it is; `is_noted` tells whether anything was refused at all.
    """

    def __init__(self, monkeypatch):
        self.draws = REFUSALS
        self.writes = True
        self.is_noted = False
        draw, write = Template.render, services.write_refusals

        def render(template, context=None, request=None):
            name = template.template.name
            if name in REFUSALS and name not in self.draws:
                return ""
            return draw(template, context, request)

        def write_refusals(here):
            self.is_noted = True
            if self.writes:
                write(here)

        monkeypatch.setattr(Template, "render", render)
        monkeypatch.setattr(services, "write_refusals", write_refusals)
        # Nobody here asks what a page was drawn with.
        monkeypatch.setattr(
            BareTemplate, "_render", lambda page, context: page.nodelist.render(context)
        )
        # Thousands of refusals are no news.
        monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
