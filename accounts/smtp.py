"""The talk with the mail server, watched: from when on may it have the mail?"""

import smtplib

from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend


class _Watched:
    """Remembers that a text was begun and no answer to it came."""

    may_have_it = False

    def data(self, msg):
        self.may_have_it = True
        answer = super().data(msg)
        self.may_have_it = False
        return answer


class _SMTP(_Watched, smtplib.SMTP):
    pass


class _SMTPOverTLS(_Watched, smtplib.SMTP_SSL):
    pass


class EmailBackend(DjangoEmailBackend):
    """Django's, which also tells a mail not sent from one that may have arrived."""

    @property
    def connection_class(self):
        return _SMTPOverTLS if self.use_ssl else _SMTP

    @property
    def may_have_it(self) -> bool:
        """Whether the connection broke after the mail's text was begun."""
        return self.connection is not None and self.connection.may_have_it

    def send_prepared(self, sender: str, to: str, raw: bytes) -> None:
        """Send one mail that is bytes already, over the connection that is open."""
        self.connection.sendmail(sender, [to], raw)
