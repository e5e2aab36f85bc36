"""Mail, sent by SMTP or, in development, written to files."""

from app.core.mail.message import Mail, mask_address
from app.core.mail.sending import Mailer, MailerDep
from app.core.mail.templates import MailTemplate

__all__ = ["Mail", "MailTemplate", "Mailer", "MailerDep", "mask_address"]
