"""The forum's templates are written on the page that the hub has for its own."""

from django.contrib import admin

from notifications.admin.templates import TemplateAdmin
from posts.models import Wording


@admin.register(Wording)
class WordingAdmin(TemplateAdmin):
    list_display = [*TemplateAdmin.list_display, "least_words"]
