"""Whether each mail says one thing is looked up while others go on writing mail.

Taken back, each mail holds all that it says again: what was sent is not lost with the
texts that mails shared.
"""

import uuid

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations

from accounts.mail_words import shared

AT_ONCE = 500


def fill_bodies(apps, _schema_editor) -> None:
    """Write to each mail that shares a text what it says, some at a time."""
    mails = apps.get_model("accounts", "OutgoingEmail").objects
    sharing = mails.filter(shared_text__isnull=False).select_related("shared_text")
    last = uuid.UUID(int=0)
    while some := list(sharing.filter(pk__gt=last).order_by("pk")[:AT_ONCE]):
        for mail in some:
            own = [mail.about_url, *mail.own_words.split("\n")]
            filled = shared(mail.shared_text.text, mail.shared_text.html).filled(own)
            mail.body_text, mail.body_html = filled.as_read()
            mail.shared_text, mail.own_words = None, ""
        changed = ["body_text", "body_html", "own_words", "shared_text"]
        mails.bulk_update(some, changed)
        last = some[-1].pk


class Migration(migrations.Migration):
    # What is filled in already stays so, whatever ends this.
    atomic = False

    dependencies = [("accounts", "0039_what_campaign_mails_share_is_kept_once")]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, fill_bodies),
        ValidateConstraint("outgoingemail", "accounts_outgoingemail_says_one_thing"),
    ]
