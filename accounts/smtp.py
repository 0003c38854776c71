"""The talk with the mail server, watched: from when on may it have the mail?"""

import contextlib
import smtplib
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend

# What a server offers that takes several mails in one go (RFC 2920, RFC 3030).
FOR_SEVERAL = ("pipelining", "chunking")
CLOSES = 421
# Of a text that was sent: the server took it for something else.
NOT_UNDERSTOOD = frozenset({-1, 500, 501, 502, 503, 504})
_Answers = list[tuple[int, bytes]]


class Unanswered(smtplib.SMTPServerDisconnected):
    """The line broke before the server said what became of this mail."""

    may_have_it = True


class _Watched:
    """Remembers that a text was begun and no answer to it came."""

    may_have_it = False

    def data(self, msg):
        self.may_have_it = True
        answer = super().data(msg)
        self.may_have_it = False
        return answer

    def send_at_once(self, sender: str, to: str, raw: bytes) -> None:
        """Say who and to whom in one go, then the text (RFC 2920); as sendmail() does.

        Raises what sendmail() raises, and ValueError for an address of two lines.
        """
        self.send(self._commands(sender, to, "DATA"))
        answers = self._answers(3)
        if refusal := _refusal(sender, to, answers, go_on=354):
            # Where the server waits for a text all the same it gets none.
            if answers[-1][0] in (CLOSES, 354):
                self.close()
            else:
                self.rset()
            raise refusal
        self.may_have_it = True
        self.send(raw.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        code, words = self.getreply()
        self.may_have_it = False
        if code != 250:
            if code == CLOSES:
                self.close()
            else:
                self.rset()
            raise smtplib.SMTPDataError(code, words)

    def send_together(
        self, sender: str, mails: Sequence[tuple[str, bytes]]
    ) -> list[Exception | None]:
        """Send several mails in one go (RFC 3030); return what became of each, in order.

        None is taken; else what sendmail() would raise, ValueError for an address of
        two lines, Unanswered where the line broke. Nothing is said of mails after the
        one at which the server took its leave (421) and closed: it took none of them.
        """
        outcomes: list[Exception | None] = [None] * len(mails)
        pieces: list[bytes] = []
        for number, (to, raw) in enumerate(mails):
            try:
                commands = self._commands(sender, to, f"BDAT {len(raw)} LAST")
            except ValueError as error:
                outcomes[number] = error
            else:
                # Whatever became of the one before, this one begins anew.
                pieces += (b"RSET\r\n", commands, raw)
        self.pour(pieces)
        last_word = 0
        for number, (to, _raw) in enumerate(mails):
            if outcomes[number]:
                continue
            answers: _Answers = []
            try:
                while len(answers) < 4:
                    answers.append(self.getreply())
                    last_word = answers[-1][0]
                if not _are_in_step(answers):
                    last_word = 0
                    raise smtplib.SMTPServerDisconnected("answers to something else")
            except (smtplib.SMTPException, OSError) as error:
                self.close()
                is_late = isinstance(error.__context__, TimeoutError)
                if last_word != CLOSES or is_late:
                    lost = [one or Unanswered() for one in outcomes[number:]]
                    return outcomes[:number] + lost
                said = answers[1:] or answers
                own = [_refusal(sender, to, said, go_on=250)] if said else []
                return outcomes[:number] + own
            outcomes[number] = _refusal(sender, to, answers[1:], go_on=250)
        return outcomes

    def pour(self, pieces: Iterable[bytes]) -> None:
        """Send all this; where the line breaks, what was answered is there to be read."""
        with contextlib.suppress(OSError):
            self.sock.sendall(b"".join(pieces))

    def _commands(self, sender: str, to: str, last: str) -> bytes:
        """What comes before a text. Raises ValueError for an address of two lines."""
        body = " BODY=8BITMIME" if self.has_extn("8bitmime") else ""
        commands = f"MAIL FROM:<{sender}>{body}\r\nRCPT TO:<{to}>\r\n{last}\r\n"
        if commands.count("\n") != 3 or commands.count("\r") != 3:
            raise ValueError("an address has a line break")
        return commands.encode("ascii")

    def _answers(self, number: int) -> _Answers:
        """Return so many answers; after the last word of a server that closes none."""
        answers = [self.getreply()]
        while len(answers) < number and answers[-1][0] != CLOSES:
            answers.append(self.getreply())
        return answers


def _are_in_step(answers: _Answers) -> bool:
    """Whether these are the answers to what was said of a mail.

    A server that refuses a text and takes its lines for commands would answer these.
    """
    (reset, _words), _sender, (recipient, _its_words), (text, _its_word) = answers
    is_taken = recipient in (250, 251)
    return reset in (250, CLOSES) and not (is_taken and text in NOT_UNDERSTOOD)


def _refusal(
    sender: str, to: str, answers: _Answers, *, go_on: int
) -> smtplib.SMTPException | None:
    """What sendmail() raises of answers to a sender, a recipient and a text."""
    # Of a server that closes, the last word stands for what it did not say any more.
    said = answers + answers[-1:] * (3 - len(answers))
    (from_code, from_words), (to_code, to_words), (code, words) = said
    if from_code != 250:
        return smtplib.SMTPSenderRefused(from_code, from_words, sender)
    if to_code not in (250, 251):
        return smtplib.SMTPRecipientsRefused({to: (to_code, to_words)})
    if code != go_on:
        return smtplib.SMTPDataError(code, words)
    return None


class SMTP(_Watched, smtplib.SMTP):
    pass


class SMTPOverTLS(_Watched, smtplib.SMTP_SSL):
    pass


class EmailBackend(DjangoEmailBackend):
    """Django's, which also tells a mail not sent from one that may have arrived."""

    @property
    def connection_class(self):
        return SMTPOverTLS if self.use_ssl else SMTP

    def open(self):
        """Open a connection where there is none, or one that was hung up."""
        if self.connection is not None and self.connection.sock is None:
            self.connection = None
        return super().open()

    @property
    def may_have_it(self) -> bool:
        """Whether the connection broke after the mail's text was begun."""
        return self.connection is not None and self.connection.may_have_it

    @property
    def at_once(self) -> int:
        """How many mails the server takes in one go; one until it has said hello."""
        offers_all = all(map(self.connection.has_extn, FOR_SEVERAL))
        return settings.MAILS_AT_ONCE if offers_all else 1

    def send_prepared(self, sender: str, to: str, raw: bytes) -> None:
        """Send one mail that is bytes already, over the connection that is open.

        A server that takes several commands at once gets them so: half the waiting.
        """
        self.connection.ehlo_or_helo_if_needed()
        if self.connection.has_extn("pipelining"):
            self.connection.send_at_once(sender, to, raw)
        else:
            self.connection.sendmail(sender, [to], raw)

    def send_together(
        self, sender: str, mails: Sequence[tuple[str, bytes]]
    ) -> list[Exception | None]:
        """Send up to `at_once` mails that are bytes already; return what became of each."""
        return self.connection.send_together(sender, mails)
