"""Mails about accounts. Their texts are files of the service, in `app/users/mails`."""

from pathlib import Path

from app.core.auth.settings import Settings
from app.core.mail import Mail, MailTemplate

FOLDER = Path(__file__).parents[2] / "users" / "mails"
HOUR = 3600
RESET_LIFETIME = HOUR
VERIFICATION_LIFETIME = 24 * HOUR
MINUTES = {"minutes": str(RESET_LIFETIME // 60)}
HOURS = {"hours": str(VERIFICATION_LIFETIME // HOUR)}


class Mails:
    """Fills in the texts, which are read once.

    The token is in the fragment of the link, which browsers do not send to servers.
    """

    def __init__(self, service: str, settings: Settings) -> None:
        """Read the texts of a service with this name.

        Raises:
            SystemExit: a text is missing or has the wrong placeholders.
        """
        self._service = service
        self._frontend = str(settings.frontend_url).rstrip("/")
        self._registration = _template("registration", "hours")
        self._invitation = _template("invitation", "hours")
        self._email_change = _template("email_change", "hours")
        self._reset = _template("reset", "minutes")
        self._password_changed = _template("password_changed")
        self._address_change_requested = _template("address_change_requested")
        self._address_changed = _template("address_changed")

    def registration(self, to: str, token: str) -> Mail:
        """Return a mail that continues a registration."""
        return self._fill(self._registration, to, f"register#token={token}", **HOURS)

    def invitation(self, to: str, token: str) -> Mail:
        """Return a mail with which somebody can register, sent by an admin."""
        return self._fill(self._invitation, to, f"register#token={token}", **HOURS)

    def email_change(self, to: str, token: str) -> Mail:
        """Return a mail that proves a new address."""
        return self._fill(self._email_change, to, f"confirm-email#token={token}", **HOURS)

    def reset(self, to: str, token: str) -> Mail:
        """Return a mail with which a user chooses a new password."""
        return self._fill(self._reset, to, f"reset-password#token={token}", **MINUTES)

    def password_changed(self, to: str) -> Mail:
        """Return a notice; its link is for users who did not change their password."""
        return self._fill(self._password_changed, to, "forgot-password")

    def address_change_requested(self, to: str) -> Mail:
        """Return a notice to the old address; its link is for users who did not ask for it."""
        return self._fill(self._address_change_requested, to, "forgot-password")

    def address_changed(self, to: str) -> Mail:
        """Return a notice to the old address."""
        return self._fill(self._address_changed, to, "")

    def _fill(self, template: MailTemplate, to: str, page: str, **values: str) -> Mail:
        link = f"{self._frontend}/{page}"
        return template.render(to, link=link, service=self._service, **values)


def _template(name: str, *optional: str) -> MailTemplate:
    return MailTemplate(FOLDER, name, required={"link"}, optional={"service", *optional})
