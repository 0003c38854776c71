"""Thousands of requests, spared what a few of them show: pages that refuse, the trail."""

import copy
import logging
from itertools import islice

from allauth.account.auth_backends import AuthenticationBackend
from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.template.backends.django import Template
from django.template.base import Template as BareTemplate

from accounts import access, middleware, proof, services
from incentives_portal import views

REFUSALS = frozenset({"403.html", "404.html"})
# Questions that only look; and what neither looks nor writes.
LOOKING = ('SELECT "', "SELECT 1 ", "SELECT COUNT", "SELECT DISTINCT", "SELECT EXISTS")
APART = ("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET ", "DECLARE")


class Sparing:
    """Says which pages that only refuse are drawn, and whether the trail is written.

    At first all are, and it is; `is_noted` tells whether anything was refused at all,
    and `refusal` what the page says that names what is missing. That page is drawn once
    for each person and all that it is made of.

    While `remembers` is on, who asks, their groups' rights, their companies and their
    session are looked up once, and that the session is in use is not noted: a request
    that leaves the world as it was finds them the same. So does a question to the
    database that was asked before in the same words, until the request writes
    something: it is put together each time and has its former answer. What a door finds
    for somebody (or why it refuses them) it finds again for the same person, right and
    key; which of somebody's roles ended, for the same person, right and company.
    Nothing is drawn while `is_blind`: for answers without a body.
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
        monkeypatch.setattr(
            views, "ended_roles", self._remembering_ended(views.ended_roles)
        )
        self._remember_who_asks(monkeypatch)
        self._remember_questions(monkeypatch)
        self._remember_answers(monkeypatch)
        self._remember_doors(monkeypatch)
        # Nobody here asks what a page was drawn with.
        monkeypatch.setattr(
            BareTemplate, "_render", lambda page, context: page.nodelist.render(context)
        )
        # Thousands of refusals are no news.
        monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)

    def forget(self) -> None:
        """Begin with the next request."""
        self.is_noted = False
        self.has_written = False
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

    def _remembering_ended(self, find):
        """What a page that is not there says of roles that ended; it is drawn anew."""
        found = {}

        def ended(reader, permission, *, on, company):
            if not self.remembers or self.has_written:
                return find(reader, permission, on=on, company=company)
            key = (reader, permission, on, company)
            if key not in found:
                found[key] = find(reader, permission, on=on, company=company)
            return found[key]

        return ended

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

    def _remember_answers(self, monkeypatch) -> None:
        execute, answers = CursorWrapper.execute, {}

        def asking(cursor, sql, params=None):
            words = sql if isinstance(sql, str) else ""
            self.has_written |= not words.startswith(APART)
            is_lookup = words.startswith(LOOKING) and " FOR UPDATE" not in words
            if not self.remembers or self.has_written or not is_lookup:
                return execute(cursor, sql, params)
            key = (words, repr(params))
            if key in answers:
                # Whoever counts the questions counts this one.
                cursor._execute_with_wrappers(sql, params, False, _unasked)
            else:
                execute(cursor, sql, params)
                answers[key] = cursor.cursor.fetchall()
            cursor.cursor.close()
            cursor.cursor = Answered(answers[key])
            return None

        monkeypatch.setattr(CursorWrapper, "execute", asking)

    def _remember_doors(self, monkeypatch) -> None:
        look, found = access._reachable, {}

        def reachable(request, on, permission, key):
            # Of several companies the address has a say too.
            if not self.remembers or self.has_written or len(request.companies) > 1:
                return look(request, on, permission, key)
            about = (request.user.pk, on, permission, *sorted(key.items()))
            if about not in found:
                asked = []
                with connection.execute_wrapper(_noting(asked)):
                    found[about] = (
                        *_outcome(look, request, on, permission, key),
                        asked,
                    )
            else:
                # Whoever counts the questions counts these.
                with connection.cursor() as cursor:
                    for sql, params in found[about][2]:
                        cursor._execute_with_wrappers(sql, params, False, _unasked)
            row, refusal, _asked = found[about]
            if refusal is not None:
                raise refusal.with_traceback(None)
            return copy.deepcopy(row)

        monkeypatch.setattr(access, "_reachable", reachable)


def _outcome(look, *about) -> tuple:
    try:
        return look(*about), None
    except (access.Hidden, access.NotAllowed) as refusal:
        return None, refusal


def _noting(asked: list):
    def note(execute, sql, params, many, context):
        asked.append((sql, params))
        return execute(sql, params, many, context)

    return note


def _unasked(*asked) -> None:
    """Stand for the database, which was asked before."""


class Answered:
    """A cursor over rows that were fetched before."""

    def __init__(self, rows: list[tuple]):
        self._rows = iter(rows)
        self.rowcount = len(rows)

    def fetchone(self) -> tuple | None:
        return next(self._rows, None)

    def fetchmany(self, size: int) -> list[tuple]:
        return [*islice(self._rows, size)]

    def fetchall(self) -> list[tuple]:
        return [*self._rows]

    def __iter__(self):
        return self._rows

    def close(self) -> None:
        pass
