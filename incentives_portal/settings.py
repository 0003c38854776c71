"""Settings, read from the environment, safe by default; .env.example explains each."""

from pathlib import Path

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from incentives_portal import environment

env = environment.env
BASE_DIR = Path(__file__).resolve().parent.parent
ONE_YEAR = 365 * 24 * 60 * 60

# --- How it runs ------------------------------------------------------------
DEBUG = environment.boolean("DEBUG")
# Demo mode: invented people, a mailbox anybody at this machine can read, plain http.
DEMO = environment.boolean("DEMO")

if DEBUG and not DEMO:
    environment.refuse("DEBUG shows the portal's insides: it goes with DEMO only.")
SECRET_KEY = environment.secret(
    "SECRET_KEY",
    environment.required(
        "SECRET_KEY", means="50 or more random characters that sign sessions"
    ),
    is_open=DEMO,
)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = environment.host_names(
    "ALLOWED_HOSTS",
    environment.required(
        "ALLOWED_HOSTS", means="the host names this portal answers to"
    ),
    is_open=DEMO,
)
# Links in mails come from here and nowhere else (security.md T9).
PUBLIC_BASE_URL = environment.address(
    "PUBLIC_BASE_URL",
    env.str("PUBLIC_BASE_URL", default="").rstrip("/") or f"https://{ALLOWED_HOSTS[0]}",
    schemes=("http", "https") if DEMO or DEBUG else ("https",),
)
CSRF_TRUSTED_ORIGINS = [PUBLIC_BASE_URL]

# --- Apps and middleware ----------------------------------------------------
INSTALLED_APPS = [
    "accounts",
    "profiles",
    "enrollment",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "incentives_portal.apps.PortalAdminConfig",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "accounts.middleware.RequestIdMiddleware",
    "accounts.middleware.PlainAddressMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "accounts.uploads.BodyLimitMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.CompanyMiddleware",
    "accounts.middleware.OriginMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.PresenceMiddleware",
    "accounts.middleware.RenewalMiddleware",
    "accounts.middleware.SignInMiddleware",
    "accounts.middleware.PersonMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "incentives_portal.urls"
WSGI_APPLICATION = "incentives_portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["accounts.templatetags.portal"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "accounts.context.portal",
            ],
        },
    }
]

# --- Database ---------------------------------------------------------------
DATABASES = {
    "default": env.db_url_config(
        environment.address(
            "DATABASE_URL",
            environment.required("DATABASE_URL", means="where PostgreSQL is"),
            schemes=("postgres", "postgresql"),
        )
    )
}
# How long a statement, and waiting for a lock, may take, in seconds (security.md §6.2): in
# a process that serves pages (wsgi.py), and in every other one. `migrate` alone lifts the
# first; whatever of a page takes longer says so at its place (accounts/time_limits.py).
PAGE_STATEMENT_SECONDS = environment.whole_number(
    "PAGE_STATEMENT_SECONDS", default=5, least=1, most=60
)
PAGE_LOCK_SECONDS = environment.whole_number(
    "PAGE_LOCK_SECONDS", default=3, least=1, most=60
)
JOB_STATEMENT_SECONDS = environment.whole_number(
    "JOB_STATEMENT_SECONDS", default=60, least=1, most=3600
)
JOB_LOCK_SECONDS = environment.whole_number(
    "JOB_LOCK_SECONDS", default=10, least=1, most=3600
)
DATABASES["default"] |= {
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": DATABASES["default"].get("OPTIONS", {})
    | {
        "connect_timeout": 5,
        # A server that is gone without a word is noticed while it is waited for.
        "tcp_user_timeout": 5000,
        "keepalives_idle": 5,
        # Compiling the portal's questions costs PostgreSQL seconds (the year end's: 20)
        # and never pays.
        "options": (
            f"-c statement_timeout={JOB_STATEMENT_SECONDS}s "
            f"-c lock_timeout={JOB_LOCK_SECONDS}s "
            "-c idle_in_transaction_session_timeout=60s -c jit=off "
            # What is asked for is in memory or on a fast disk: by its keys, not all of it.
            "-c random_page_cost=1.1"
        ),
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- What is sent in ----------------------------------------------------------
# A document, and the largest request: enough that a page can say of a photo that is too
# large that it is. Files stay in memory: nothing unsealed is written to a disk.
LARGEST_FILE = 5 * 1024 * 1024
LARGEST_BODY = 25 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 2
# The page that checks many locations sends the most: 4 000 boxes to leave one out, and
# the version and the box of each agreement. Django's 1 000 would refuse it.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000
FILE_UPLOAD_HANDLERS = ["accounts.uploads.CappedUploadHandler"]

# --- Cache: rate limits live here, in the database, so that they hold across
# processes and go on holding while Redis is away ------------------------------
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        # Far more than live counters need: nobody's limit is pushed out by others'.
        "OPTIONS": {"MAX_ENTRIES": 500_000, "CULL_FREQUENCY": 4},
    },
    # A large owner's numbers of the last minute, of each process its own (accounts/kept).
    "numbers": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

# --- Celery -----------------------------------------------------------------
REDIS_URL = environment.address(
    "REDIS_URL",
    env.str("REDIS_URL", default="redis://127.0.0.1:6379/0"),
    schemes=("redis", "rediss"),
)
CELERY_BROKER_URL = REDIS_URL
# A worker and the clock wait for a broker that is away; pages never do: a publish ends
# within a good second also when the broker does not answer (measured in the tests).
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # The broker remembers no task that was handed out: the clock asks again for what
    # the database says is due. With it remembering, a worker ends when the connection
    # is lost while a task runs (kombu 5.7.0), and a long task is handed out twice.
    "ack_emulation": False,
    "socket_timeout": 1,
    "socket_connect_timeout": 1,
    "max_retries": 0,
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "incentives_portal.worker_pool:TaskPool"
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# What waited for a worker until its next turn is dropped: the next one does it all.
CELERY_BEAT_SCHEDULE = {
    # Finds what no wake-up told of.
    "deliver-mail": {
        "task": "accounts.tasks.deliver_mail",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "notify-new-incentive-admins": {
        "task": "enrollment.tasks.notify_waiting_admins",
        "schedule": 120.0,
        "options": {"expires": 110},
    },
    "close-what-is-over": {
        "task": "accounts.tasks.close_what_is_over",
        "schedule": 900.0,
        "options": {"expires": 840},
    },
    # Comes again while another is at work: each step of a campaign is taken once.
    "run-campaigns": {
        "task": "enrollment.tasks.run_campaigns",
        "schedule": 10.0,
        "options": {"expires": 9},
    },
    "remind-of-invitations": {
        "task": "enrollment.tasks.remind_of_invitations",
        "schedule": 300.0,
        "options": {"expires": 280},
    },
    # What many rows were submitted together and the request left over.
    "submit-batches": {
        "task": "enrollment.tasks.submit_batches",
        "schedule": 10.0,
        "options": {"expires": 9},
    },
    "forget-old-batches": {
        "task": "enrollment.tasks.forget_old_batches",
        "schedule": 86400.0,
        "options": {"expires": 80000},
    },
    "lapse-unanswered-invitations": {
        "task": "enrollment.tasks.lapse_invitations",
        "schedule": 900.0,
        "options": {"expires": 840},
    },
    # Rehearses by itself as a year's end comes near, and reminds operators.
    "prepare-year-ends": {
        "task": "enrollment.tasks.prepare_year_ends",
        "schedule": 1800.0,
        "options": {"expires": 1700},
    },
    # What operators asked for; idle workers share the ranges here too.
    "rehearse-renewals": {
        "task": "enrollment.tasks.rehearse_renewals",
        "schedule": 10.0,
        "options": {"expires": 9},
    },
    # Comes again while another is at work: idle workers share the ranges.
    "renew-enrollments": {
        "task": "enrollment.tasks.renew_enrollments",
        "schedule": 15.0,
        "options": {"expires": 14},
    },
    "undo-renewals": {
        "task": "enrollment.tasks.undo_renewals",
        "schedule": 15.0,
        "options": {"expires": 14},
    },
    "tell-of-year-ends": {
        "task": "enrollment.tasks.tell_of_year_ends",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    # What publishing a program's terms left for later.
    "follow-changed-terms": {
        "task": "enrollment.tasks.follow_changed_terms",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    # What a day turns: agreements that ended, terms that changed. Once a day for each.
    "follow-requirements": {
        "task": "enrollment.tasks.follow_requirements",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "tell-of-standings": {
        "task": "enrollment.tasks.tell_of_standings",
        "schedule": 120.0,
        "options": {"expires": 110},
    },
    # What withdrawing a program left for later.
    "end-discontinued": {
        "task": "enrollment.tasks.end_discontinued",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    # What operators uploaded; each call goes on where the last one was.
    "import-values": {
        "task": "enrollment.tasks.import_values",
        "schedule": 10.0,
        "options": {"expires": 9},
    },
    "forget-old-imports": {
        "task": "enrollment.tasks.forget_old_imports",
        "schedule": 86400.0,
        "options": {"expires": 80000},
    },
    "note-expired-tax-profiles": {
        "task": "enrollment.tasks.note_expired_tax_profiles",
        "schedule": 300.0,
        "options": {"expires": 280},
    },
    "tell-of-tax-expiry": {
        "task": "enrollment.tasks.tell_of_tax_expiry",
        "schedule": 300.0,
        "options": {"expires": 280},
    },
    # A changed account is usable when its cooling-off is over, and not before.
    "bring-bank-changes-into-force": {
        "task": "profiles.tasks.bring_changes_into_force",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "discard-forgotten-drafts": {
        "task": "profiles.tasks.discard_forgotten_drafts",
        "schedule": 86400.0,
        "options": {"expires": 80000},
    },
    "clear-sessions": {
        "task": "accounts.tasks.clear_sessions",
        "schedule": 3600.0,
        "options": {"expires": 3000},
    },
}

# --- Mail and who sends it (experience.md §6.1) -------------------------------
EMAIL_CONFIG = env.email_url_config(
    environment.address(
        "EMAIL_URL",
        env.str("EMAIL_URL", default="smtp://127.0.0.1:25"),
        schemes=("smtp", "smtp+tls", "smtp+ssl"),
    )
)
vars().update(EMAIL_CONFIG)
EMAIL_BACKEND = "accounts.smtp.EmailBackend"
EMAIL_TIMEOUT = 10
# How many mails of a campaign go in one go to a server that takes several (RFC 3030).
# So many may arrive twice where the line to it breaks; one is what every server takes.
MAILS_AT_ONCE = environment.whole_number("MAILS_AT_ONCE", default=10, least=1, most=50)
SENDER_NAME = env.str("SENDER_NAME", default="Microsoft Partner Center")
SENDER_ADDRESS = env.str("SENDER_ADDRESS", default="")
SUPPORT_ADDRESS = env.str("SUPPORT_ADDRESS", default="")
OPERATOR_NAME = env.str("OPERATOR_NAME", default="")
OPERATOR_POSTAL_ADDRESS = env.str("OPERATOR_POSTAL_ADDRESS", default="")
SENDER_CONFIRMED = environment.boolean("SENDER_CONFIRMED")
# The operator's own subject is used as it is, the default in the reader's language.
INVITATION_SUBJECT = env.str("INVITATION_SUBJECT", default="") or _(
    "Partner Incentive Enrollment Invitation"
)
if DEMO:
    SENDER_ADDRESS = SENDER_ADDRESS or "no-reply@partners.example"
    SUPPORT_ADDRESS = SUPPORT_ADDRESS or "support@partners.example"
    OPERATOR_NAME = OPERATOR_NAME or "Specimen Program Office"
    OPERATOR_POSTAL_ADDRESS = OPERATOR_POSTAL_ADDRESS or "1 Example Street, Demo Town"
DEMO_MAIL_DIR = Path(env.str("DEMO_MAIL_DIR", default=str(BASE_DIR / "var" / "mail")))
DEFAULT_FROM_EMAIL = SENDER_ADDRESS or "no-reply@invalid"

# --- Bank and tax numbers (security.md §6.2) ---------------------------------
FIELD_ENCRYPTION_KEYS = environment.keys(
    "FIELD_ENCRYPTION_KEYS",
    environment.required(
        "FIELD_ENCRYPTION_KEYS", means="the keys that encrypt bank and tax numbers"
    ),
)
BLIND_INDEX_KEY = environment.key(
    "BLIND_INDEX_KEY",
    environment.required(
        "BLIND_INDEX_KEY", means="the key that finds duplicate bank accounts"
    ),
)

if FIELD_ENCRYPTION_KEYS.encode().find(env.str("BLIND_INDEX_KEY").encode()) >= 0:
    environment.refuse("BLIND_INDEX_KEY must not be one of FIELD_ENCRYPTION_KEYS.")

# How long a changed bank account waits, from the request, before it is paid to (T1).
BANK_CHANGE_COOLING_OFF_HOURS = environment.whole_number(
    "BANK_CHANGE_COOLING_OFF_HOURS", default=72, least=1, most=720
)

# An import of measured values that would end more than this share, in percent, of what
# is eligible or enrolled waits until a second operator lets it through.
IMPORT_HOLD_PERCENT = environment.whole_number(
    "IMPORT_HOLD_PERCENT", default=5, least=0, most=100
)

# --- People and sign-in -------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    # Passwords from before are hashed anew when their owner signs in.
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.passwords.LengthValidator"},
    {"NAME": "accounts.passwords.BreachedPasswordValidator"},
    {"NAME": "accounts.passwords.ContextWordsValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "accounts.adapters.CompanySignInAdapter"
# Nobody is who they are for an e-mail address that a company's directory writes.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_STORE_TOKENS = False
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_FORMS = {
    "login": "accounts.signin_forms.SignInForm",
    "reset_password": "accounts.adapters.QuietResetForm",
    "reset_password_from_key": "accounts.signin_forms.NewPasswordByLinkForm",
    "set_password": "accounts.signin_forms.FirstPasswordForm",
    "change_password": "accounts.signin_forms.OtherPasswordForm",
}
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = (
    "django.contrib.auth.tokens.PasswordResetTokenGenerator"
)
# The mail says so.
PASSWORD_RESET_TIMEOUT = 60 * 60
# Mails with a secret: what is stored holds none, it is made when the mail leaves.
MAIL_SECRETS = {
    "password_reset": "accounts.adapters.reset_link",
    "colleague_invitation": "accounts.emails.invitation_link",
    "factor_reset_asked": "accounts.emails.stop_reset_link",
    "bank_change_contact": "profiles.emails.stop_change_link",
    "part_asked": "profiles.emails.part_link",
}
# Mails that are written when they leave, many at once.
MAIL_WRITERS = {"invitation": "enrollment.campaign_mails.write"}
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    # Failures only: from one place; at one address from one place; at one address; in
    # all. Browsers that know their owner, and passkeys, are not in the last three.
    "login_failed": "10/m/ip",
    "login_failed_here": "5/5m/key",
    "login_failed_anywhere": "60/10m/key",
    "login_failed_in_all": "600/5m/key",
    # Codes after the right password, wherever they come from.
    "second_factor_failed": "20/10m/key",
    # As long as the links of these mails work: who is refused has five that do. None in
    # all: with that, anybody could keep everybody from a new password.
    "reset_password": "20/m/ip,5/h/key",
    # Asking for a company's sign-in and coming back from it: an office has one address.
    "company_sign_in": "120/m/ip",
    # What is kept of people who were signed out while they typed.
    "typed_signed_out": "10/m/ip",
    # Wrong answers to one invitation, and from one place to any.
    "join_failed": "20/10m/ip,10/h/key",
    # Reading one calendar, wherever from; and addresses that open none, from one place.
    "calendar_read": "60/h/key",
    "calendar_failed": "30/10m/ip",
}
# Who reaches bank or tax data, roles or approvals needs a second factor (T7). The demo
# only says so, for its people share one password.
SECOND_FACTOR_REQUIRED = not DEMO
# How long a proof of who somebody is counts as fresh, the sign-in itself included.
ACCOUNT_REAUTHENTICATION_TIMEOUT = 10 * 60
MFA_ADAPTER = "accounts.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# Its owner is always asked to look at it: who found a device has found nothing.
MFA_WEBAUTHN_USER_VERIFICATION = "required"
# Clocks differ: the code before and the one after count too, each of them once.
MFA_TOTP_TOLERANCE = 1
MFA_RATE_LIMITS = {"webauthn_login": "60/m/ip"}
MFA_FORMS = {
    "authenticate": "accounts.signin_forms.CodeForm",
    "reauthenticate": "accounts.signin_forms.ConfirmCodeForm",
    "activate_totp": "accounts.signin_forms.AddAppForm",
    "login_webauthn": "accounts.signin_forms.PasskeySignInForm",
    "add_webauthn": "accounts.signin_forms.AddPasskeyForm",
    "edit_webauthn": "accounts.signin_forms.RenamePasskeyForm",
}
BEHIND_PROXY = environment.boolean("BEHIND_PROXY")
ALLAUTH_TRUSTED_PROXY_COUNT = environment.whole_number(
    "TRUSTED_PROXY_COUNT", default=0, least=0, most=9
)
if BEHIND_PROXY and not ALLAUTH_TRUSTED_PROXY_COUNT:
    environment.refuse(
        "TRUSTED_PROXY_COUNT must be 1 or more when BEHIND_PROXY is true: otherwise "
        "all visitors come from the proxy's address and share one limit on sign-in."
    )

# --- Sessions, cookies, transport -----------------------------------------------
SECURE = PUBLIC_BASE_URL.startswith("https://")
SESSION_COOKIE_NAME = "__Host-sessionid" if SECURE else "sessionid"
SESSION_COOKIE_SECURE = SECURE
# No session gets older; after a long pause it asks who is there (security.md T8).
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_LONGEST_PAUSE = 30 * 60
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
KNOWN_BROWSER_COOKIE_NAME = "__Host-known" if SECURE else "known"
CSRF_COOKIE_NAME = "__Host-csrftoken" if SECURE else "csrftoken"
CSRF_COOKIE_SECURE = SECURE
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "incentives_portal.views.csrf_failure"
LANGUAGE_COOKIE_SECURE = SECURE
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = SECURE
# How long browsers ask for https alone; a promise for other hosts of the domain is made
# by whoever owns them, so the checks that would want it made here are silent.
SECURE_HSTS_SECONDS = environment.whole_number(
    "HSTS_SECONDS", default=ONE_YEAR if SECURE else 0, least=0, most=2 * ONE_YEAR
)
SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.boolean("HSTS_INCLUDE_SUBDOMAINS")
SECURE_HSTS_PRELOAD = environment.boolean("HSTS_PRELOAD")
if SECURE_HSTS_PRELOAD and not (
    SECURE_HSTS_INCLUDE_SUBDOMAINS and SECURE_HSTS_SECONDS >= ONE_YEAR
):
    environment.refuse(
        "HSTS_PRELOAD needs HSTS_INCLUDE_SUBDOMAINS and HSTS_SECONDS of a year: "
        "browsers' lists take no less."
    )
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

# --- Language and time ------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("sv", _("Swedish"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
# Days and times in the records as on the pages; Django's English is American.
FORMAT_MODULE_PATH = "incentives_portal.formats"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- Static files -------------------------------------------------------------------
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
if DEBUG:
    STORAGES["staticfiles"]["BACKEND"] = (
        "django.contrib.staticfiles.storage.StaticFilesStorage"
    )

# --- Names and promises of the program owner ------------------------------------------
PARTNER_PROGRAM_NAME = env.str(
    "PARTNER_PROGRAM_NAME", default="Microsoft AI Cloud Partner Program"
)
PORTAL_NAME = env.str("PORTAL_NAME", default="Partner Incentives")

# --- Logs: one JSON line an event, without numbers or addresses --------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "accounts.logs.JsonFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.server": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "fido2": {"level": "WARNING"},
    },
}
