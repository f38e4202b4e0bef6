"""What the push road's admin pages share."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    # The stubs make it generic, Django does not.
    ModelAdmin = admin.ModelAdmin
