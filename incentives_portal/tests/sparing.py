"""Thousands of requests, spared what a few of them show: pages that refuse, the trail."""

import copy
import logging

from allauth.account.auth_backends import AuthenticationBackend
from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore
from django.template.backends.django import Template
from django.template.base import Template as BareTemplate

from accounts import middleware, proof, services
from incentives_portal import views

REFUSALS = frozenset({"403.html", "404.html"})


class Sparing:
    """Says which pages that only refuse are drawn, and whether the trail is written.

    At first all are, and it is; `is_noted` tells whether anything was refused at all,
    and `refusal` what the page says that names what is missing. That page is drawn once
    for each person and all that it is made of.

    While `remembers` is on, who asks, their groups' rights, their companies and their
    session are looked up once, and that the session is in use is not noted: a request that leaves the world
    as it was finds them the same. Which rows somebody may see is asked of the database
    each time, in words put together once. Nothing is drawn while `is_blind`: for answers
    without a body.
    """

    def __init__(self, monkeypatch):
        self.draws = REFUSALS
        self.writes = True
        self.remembers = False
        self.is_blind = False
        self.forget()
        # What refusals said, by all that they are made of; and who has seen which.
        self._said = {}
        self._seen = set()
        draw, write = Template.render, services.write_refusals

        def render(template, context=None, request=None):
            name = template.template.name
            if name == "403.html":
                self.refusal = context and context.get("refusal")
            if self.is_blind or (
                name in REFUSALS and not self._is_drawn(name, request)
            ):
                return ""
            return draw(template, context, request)

        def write_refusals(here):
            self.is_noted = True
            if self.writes:
                write(here)

        monkeypatch.setattr(Template, "render", render)
        monkeypatch.setattr(services, "write_refusals", write_refusals)
        for name in ("refusal_for", "operator_refusal"):
            monkeypatch.setattr(views, name, self._saying_once(getattr(views, name)))
        self._remember_who_asks(monkeypatch)
        self._remember_questions(monkeypatch)
        # Nobody here asks what a page was drawn with.
        monkeypatch.setattr(
            BareTemplate, "_render", lambda page, context: page.nodelist.render(context)
        )
        # Thousands of refusals are no news.
        monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)

    def forget(self) -> None:
        """Begin with the next request."""
        self.is_noted = False
        self.refusal = None
        self._made_of = None

    def _is_drawn(self, name: str, request) -> bool:
        if name not in self.draws:
            return False
        if self._made_of is None:
            return True
        seen = (request.user.pk, self._made_of)
        is_new = seen not in self._seen
        self._seen.add(seen)
        return is_new

    def _saying_once(self, say):
        def said(*about, **more):
            key = self._made_of = (say.__name__, about, tuple(sorted(more.items())))
            if key not in self._said:
                self._said[key] = say(*about, **more)
            return self._said[key]

        return said

    def _remember_who_asks(self, monkeypatch) -> None:
        look_up, load = (
            AuthenticationBackend.get_user,
            SessionStore._get_session_from_db,
        )
        find_companies, stamp_use = middleware.companies_of, proof.stamp_use
        people, sessions, companies = {}, {}, {}

        def get_user(backend, key):
            if not self.remembers:
                return look_up(backend, key)
            if key not in people:
                people[key] = person = look_up(backend, key)
                if person is not None:
                    # What their groups give them, they keep as they would in a request.
                    person.get_all_permissions()
            return copy.copy(people[key])

        def get_session(store):
            if not self.remembers:
                return load(store)
            key = store.session_key
            if key not in sessions:
                sessions[key] = load(store)
            return sessions[key]

        def companies_of(user):
            if not self.remembers:
                return find_companies(user)
            if user.pk not in companies:
                companies[user.pk] = find_companies(user)
            return copy.copy(companies[user.pk])

        monkeypatch.setattr(middleware, "companies_of", companies_of)
        monkeypatch.setattr(
            proof, "stamp_use", lambda asked: not self.remembers and stamp_use(asked)
        )
        monkeypatch.setattr(AuthenticationBackend, "get_user", get_user)
        monkeypatch.setattr(SessionStore, "_get_session_from_db", get_session)

    def _remember_questions(self, monkeypatch) -> None:
        questions = {}

        def once(kind, ask):
            def asked(manager, user, *about):
                # Rows of one other row are another question.
                if not self.remembers or type(manager) is not kind:
                    return ask(manager, user, *about)
                key = (ask.__name__, manager.model, user.pk, about)
                if key not in questions:
                    questions[key] = ask(manager, user, *about)
                return questions[key].all()

            return asked

        for kind in {type(model._default_manager) for model in apps.get_models()}:
            for name in ("visible_to", "where_user_may"):
                if ask := getattr(kind, name, None):
                    monkeypatch.setattr(kind, name, once(kind, ask))
