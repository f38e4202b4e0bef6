"""What makes the hub unsafe where others can reach it is said before it serves."""

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from hub import checks

pytestmark = pytest.mark.embedded  # looks at settings: once is enough

LOCAL = ["127.0.0.1", "localhost", "[::1]"]


@pytest.fixture
def proper(settings: Any, tmp_path: Path) -> Any:
    """Settings as in production."""
    settings.DEBUG = False
    settings.DATA = tmp_path
    settings.ALLOWED_HOSTS = ["hub.example.com"]
    settings.ALLOWED_ORIGINS = ["https://hub.example.com", "capacitor://localhost"]
    settings.SESSION_COOKIE_SECURE = True
    settings.HUB = {**settings.HUB, "THROTTLES": "on"}
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "hub.sqlite3")}
    # a copy: the connection of this test stays as it is
    settings.DATABASES = {"default": database}
    return settings


def found(*, deploy: bool = True) -> list[str]:
    """Ids of our own messages."""
    messages = run_checks(tags=["security"], include_deployment_checks=deploy)
    return [str(message.id) for message in messages if str(message.id).startswith("hub.")]


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
class TestProduction:
    def test_a_proper_environment_is_passed_over_in_silence(self, proper: Any) -> None:
        assert found() == []

    def test_debug_beyond_this_machine(self, proper: Any) -> None:
        proper.DEBUG = True
        assert found(deploy=False) == ["hub.W101"]
        proper.ALLOWED_HOSTS = LOCAL
        assert found(deploy=False) == []

    def test_a_kept_key_that_others_can_read(self, proper: Any, tmp_path: Path) -> None:
        path = tmp_path / "secret_key"
        path.write_text(proper.SECRET_KEY)
        path.chmod(0o600)
        tmp_path.chmod(0o755)
        assert found(deploy=False) == []
        path.chmod(0o640)
        assert found(deploy=False) == ["hub.W102"]
        tmp_path.chmod(0o700)  # nobody else gets there
        assert found(deploy=False) == []
        tmp_path.chmod(0o755)
        path.write_text("the one of the environment is another")
        assert found(deploy=False) == []

    def test_a_database_file_that_others_can_read(self, proper: Any, tmp_path: Path) -> None:
        path = tmp_path / "hub.sqlite3"
        path.touch(0o600)
        tmp_path.chmod(0o755)
        assert found() == []
        path.chmod(0o644)
        assert found() == ["hub.W103"]
        proper.DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
        assert found() == []

    def test_basic_where_no_request_counts_as_secure(self, proper: Any) -> None:
        proper.HUB = {**proper.HUB, "BASIC_AUTHENTICATION": True}
        assert found() == ["hub.W109"]
        proper.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        assert found() == []

    def test_any_host(self, proper: Any) -> None:
        proper.ALLOWED_HOSTS = ["*"]
        assert found() == ["hub.W104"]

    @pytest.mark.parametrize(
        ("origins", "expected"),
        [
            (["https://a.example", "http://b.example"], ["hub.W105"]),
            (["https://a.example", "HTTP://10.0.0.1:8000"], ["hub.W105"]),
            (["https://a.example", "http://127.0.0.1:8000", "http://[::1]"], []),
            (["http://localhost:8000"], ["hub.W106"]),
            (["http://a.example"], ["hub.W105", "hub.W106"]),
        ],
    )
    def test_origins(self, proper: Any, origins: list[str], expected: list[str]) -> None:
        proper.ALLOWED_ORIGINS = origins
        assert found() == expected

    def test_no_throttles(self, proper: Any) -> None:
        proper.HUB = {**proper.HUB, "THROTTLES": " OFF "}
        assert found() == ["hub.W107"]
        proper.HUB = {**proper.HUB, "THROTTLES": "token=5/min"}
        assert found() == []

    def test_a_log_for_developers(self, proper: Any) -> None:
        proper.LOGGING = {"root": {"level": "DEBUG"}}
        assert found() == ["hub.W108"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("[::1]", True),
        ("a.localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("192.168.1.5", False),
        ("localhost.example.com", False),
        (".example.com", False),
        ("*", False),
        ("", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert checks.is_loopback(host) is expected
