"""Settings of the hub as its own project. Every variable is described in docs/settings.md."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url

from hub.env import env_bool, env_int, env_list, env_text, kept_secret
from routing.push.redaction import QUIET

BASE_DIR = Path(__file__).resolve().parent.parent
DATA = Path(env_text("HUB_DATA") or BASE_DIR / "var").resolve()

DEBUG = env_bool("DEBUG")
# Made on first use and kept beside the data, so that every command on this machine shares it;
# several machines need one SECRET_KEY in their environment.
SECRET_KEY = env_text("SECRET_KEY") or kept_secret(DATA / "secret_key")

# What Prometheus shows to be told the metrics from another machine; without one only this one is.
METRICS_TOKEN = env_text("HUB_METRICS_TOKEN")

PORT = env_int("PORT", 8000, minimum=1)
LOCAL_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", LOCAL_HOSTS)
ALLOWED_ORIGINS = env_list(
    "ALLOWED_ORIGINS", [f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"]
)

INSTALLED_APPS = [
    "servestatic",  # first: tells the next one's runserver to leave static files to it
    "daphne",  # replaces runserver by one that also serves WebSocket
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "notifications",
    "routing",
    "hub",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "hub.static_files.StaticFilesMiddleware",
    "hub.content_security.ContentSecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

ROOT_URLCONF = "hub.urls"
ASGI_APPLICATION = "asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASE_URL = env_text("DATABASE_URL")
if DATABASE_URL:
    DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL)}
else:
    DATA.mkdir(parents=True, exist_ok=True)
    DATABASES = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA / "hub.sqlite3")}
    }
DATABASE = DATABASES["default"]
if DATABASE["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE: a deferred transaction that reads and then writes fails at once when another
    # writes. WAL: readers do not wait for the writer.
    DATABASE["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    if env_text("HUB_TEST_DATABASE"):
        DATABASE["TEST"] = {"NAME": env_text("HUB_TEST_DATABASE")}
else:
    # Under ASGI persistent connections leak; Django's pool is what keeps them open instead.
    DATABASE["CONN_MAX_AGE"] = 0
    options = DATABASE.get("OPTIONS", {})
    if env_bool("HUB_PREPARED_STATEMENTS", True):
        # What is sent again and again is planned once per connection, also where PostgreSQL thinks
        # that a plan for these very values would be cheaper: the planning costs more than it saves.
        generic = f"{options.get('options', '')} -c plan_cache_mode=force_generic_plan".strip()
        options = {**options, "prepare_threshold": 5, "options": generic}
    DATABASE["OPTIONS"] = {
        "prepare_threshold": None,
        **options,
        "pool": {
            "min_size": 1,
            "max_size": env_int("HUB_DATABASE_POOL", 16, minimum=1),
            "timeout": 10,
        },
    }

REDIS_URL = env_text("REDIS_URL")
if REDIS_URL:
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {
                # One lock covers publish and subscribe: a paused Redis must not hold it for long.
                "hosts": [{"address": REDIS_URL, "socket_timeout": 2, "socket_connect_timeout": 2}],
                "prefix": "hub",
            },
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "routing.live.layer.LocalChannelLayer"}}

# What throttles count in. Without a shared one each process counts for itself.
CACHE_URL = env_text("HUB_CACHE_URL")
if CACHE_URL:
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": CACHE_URL,
            "KEY_PREFIX": "hub",
            # A request waits no longer for a counter than it would for an answer.
            "OPTIONS": {"socket_timeout": 0.25, "socket_connect_timeout": 0.25},
        }
    }

SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env_bool("HUB_HTTPS")
if env_bool("HUB_HTTPS"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    # A load balancer asks for the health on the machine itself, without TLS; Prometheus may.
    SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
    SECURE_HSTS_SECONDS = 30 * 24 * 3600
# Whether HSTS also holds for the other hosts of the domain is not the hub's to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CSRF_TRUSTED_ORIGINS = ALLOWED_ORIGINS

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
if not DEBUG:
    AUTH_PASSWORD_VALIDATORS = [
        {"NAME": f"django.contrib.auth.password_validation.{name}"}
        for name in (
            "UserAttributeSimilarityValidator",
            "MinimumLengthValidator",
            "CommonPasswordValidator",
            "NumericPasswordValidator",
        )
    ]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
STATIC_ROOT = DATA / "static"
# From where the apps keep them, also without DEBUG: there is no step between an upgrade and a
# start that could be forgotten. STATIC_ROOT is for whoever lets a web server serve them.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_USE_STATIC_ROOT = False
SERVESTATIC_AUTOREFRESH = DEBUG
SERVESTATIC_ALLOW_ALL_ORIGINS = False

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "notifications.api.errors.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Notification hub",
    "DESCRIPTION": "Inboxes, marks, filters and tokens; the socket: docs/protocol.md.",
    "VERSION": "1.0.0",
    # JSON Schema as it is, so that real answers can be held against it
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    # one name per set of values, whoever uses it
    "ENUM_NAME_OVERRIDES": {"PriorityEnum": "notifications.models.Priority"},
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # a PATCH takes what its description says, not whatever is left of another body
    "COMPONENT_SPLIT_PATCH": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"redact": {"()": "routing.push.redaction.RedactSecrets"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["redact"],
        }
    },
    "root": {"handlers": ["stderr"], "level": env_text("HUB_LOG_LEVEL", "INFO")},
    "loggers": {
        # Django gives this one a handler of its own; every line would come twice.
        "django": {"handlers": [], "level": "NOTSET"},
        # Under DEBUG it writes every statement with its values: words of notifications, digests.
        "django.db.backends": {"level": "INFO"},
        # Libraries that write URLs, and with them tokens, say less.
        **QUIET,
    },
}

EVENT_TYPES = [
    {
        "name": "post_like",
        "title": "Likes",
        "description": "Somebody liked one of your posts",
    },
    {
        "name": "post_comment",
        "title": "Comments",
        "description": "Somebody commented on one of your posts",
    },
    {
        "name": "become_friends_request",
        "title": "Friend requests",
        "description": "Somebody wants to become your friend",
        "priority": "high",
    },
]

HUB = {
    "ALLOWED_ORIGINS": ALLOWED_ORIGINS,
    "GRACE": timedelta(seconds=env_int("HUB_GRACE_SECONDS", 10)),
    "SOCKETS_PER_USER": env_int("HUB_SOCKETS_PER_USER", 20, minimum=1),
    "THROTTLES": env_text("HUB_THROTTLES", "on"),
    "BASIC_AUTHENTICATION": env_bool("HUB_BASIC_AUTHENTICATION"),
    "STAFF_CALLS": env_bool("HUB_STAFF_CALLS"),
    "OPEN_REGISTRATION": env_int("HUB_OPEN_REGISTRATION", 0),
    "PUSH_LOCAL_PEERS": env_bool("HUB_PUSH_LOCAL_PEERS"),
    # As SECRET_KEY: kept beside the data unless several machines share one.
    "CREDENTIAL_KEYS": env_list("HUB_CREDENTIAL_KEYS", [])
    or [kept_secret(DATA / "credential_key")],
}
