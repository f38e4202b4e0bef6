"""Names the hub's own project as an app, for its pages, its static files and its commands."""

from django.apps import AppConfig


class HubConfig(AppConfig):
    name = "hub"
    label = "hub"
    verbose_name = "Notification hub"

    def ready(self) -> None:
        from hub import checks  # noqa: F401 - registers them
