"""The talk with the mail server, watched: from when on may it have the mail?"""

import contextlib
import smtplib

from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend


class _Watched:
    """Remembers that a text was begun and no answer to it came."""

    may_have_it = False
    # Whom a mail is to that was said already, before its text.
    announced = ""

    def mail(self, *said):
        self._keep_word("")
        return super().mail(*said)

    def quit(self):
        if self.announced:
            # The server waits for a text: it would take the farewell for its first line.
            return self.close()
        return super().quit()

    def data(self, msg):
        self.may_have_it = True
        answer = super().data(msg)
        self.may_have_it = False
        return answer

    def send_at_once(
        self, sender: str, to: str, raw: bytes, *, following: str = ""
    ) -> None:
        """Say who and to whom in one go, then the text (RFC 2920); as sendmail() does.

        With the text goes whom the next one is to, if somebody follows: the next call
        has to be that one. Raises what sendmail() raises, SMTPServerDisconnected where
        another was announced, and ValueError for an address of two lines.
        """
        self._keep_word(to)
        announced, self.announced = self.announced, ""
        if not announced:
            self.send(_announcement(sender, to))
        answers = [self.getreply()]
        while len(answers) < 3:
            # Who closes says nothing more.
            is_over = answers[-1][0] == 421
            answers.append(answers[-1] if is_over else self.getreply())
        (from_code, from_words), (to_code, to_words), (code, words) = answers
        if from_code != 250 or to_code not in (250, 251) or code != 354:
            # Where the server waits for a text all the same it gets none.
            if 421 in (from_code, to_code, code) or code == 354:
                self.close()
            else:
                self.rset()
            if from_code != 250:
                raise smtplib.SMTPSenderRefused(from_code, from_words, sender)
            if to_code not in (250, 251):
                raise smtplib.SMTPRecipientsRefused({to: (to_code, to_words)})
            raise smtplib.SMTPDataError(code, words)
        text = raw.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        with contextlib.suppress(ValueError):
            text += _announcement(sender, following) if following else b""
            self.announced = following
        self.may_have_it = True
        self.send(text)
        code, words = self.getreply()
        self.may_have_it = False
        if code != 250:
            if code == 421 or self.announced:
                self.close()
            else:
                self.rset()
            raise smtplib.SMTPDataError(code, words)

    def _keep_word(self, to: str) -> None:
        """Hang up rather than write to somebody a text that is meant for another."""
        if self.announced and self.announced != to:
            self.close()
            raise smtplib.SMTPServerDisconnected("another mail was announced")


def _announcement(sender: str, to: str) -> bytes:
    """What comes before a text. Raises ValueError for an address of two lines."""
    commands = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{to}>\r\nDATA\r\n"
    if commands.count("\n") != 3 or commands.count("\r") != 3:
        raise ValueError("an address has a line break")
    return commands.encode("ascii")


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

    def send_prepared(
        self, sender: str, to: str, raw: bytes, *, following: str = ""
    ) -> None:
        """Send one mail that is bytes already, over the connection that is open.

        A server that takes several commands at once gets them so, and with this mail's
        text whom the next call sends to: a quarter of the waiting.
        """
        self.connection.ehlo_or_helo_if_needed()
        if self.connection.has_extn("pipelining"):
            self.connection.send_at_once(sender, to, raw, following=following)
        else:
            self.connection.sendmail(sender, [to], raw)
