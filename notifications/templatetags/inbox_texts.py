"""The component's texts, for Django's translations: the same as in clients/js/src/texts.js."""

from django.utils.translation import gettext, gettext_noop

TEXTS = {
    "title": gettext_noop("Notifications"),
    "bell_zero": gettext_noop("Notifications"),
    "bell_one": gettext_noop("Notifications, {count} new"),
    "bell_other": gettext_noop("Notifications, {count} new"),
    "show": gettext_noop("Show"),
    "all": gettext_noop("All"),
    "unread": gettext_noop("Unread"),
    "archived": gettext_noop("Archived"),
    "type": gettext_noop("Type"),
    "all_types": gettext_noop("All types"),
    "mark_all_read": gettext_noop("Mark all as read"),
    "mark_read": gettext_noop("Mark as read"),
    "mark_unread": gettext_noop("Mark as unread"),
    "archive": gettext_noop("Archive"),
    "unarchive": gettext_noop("Move back to the inbox"),
    "delete": gettext_noop("Delete"),
    "close": gettext_noop("Close"),
    "undo": gettext_noop("Undo"),
    "was_archived": gettext_noop("Archived"),
    "was_unarchived": gettext_noop("Moved back to the inbox"),
    "was_deleted": gettext_noop("Deleted"),
    "failed": gettext_noop("That did not work. Everything is as it was before."),
    "is_unread": gettext_noop("Unread"),
    "high": gettext_noop("Important"),
    "arrived": gettext_noop("New notification: {title}"),
    "fresh_one": gettext_noop("{count} new notification"),
    "fresh_other": gettext_noop("{count} new notifications"),
    "empty_inbox": gettext_noop("All caught up"),
    "empty_inbox_hint": gettext_noop("New notifications appear here by themselves."),
    "empty_unread": gettext_noop("Nothing unread"),
    "empty_unread_hint": gettext_noop("You have read everything there is."),
    "empty_archived": gettext_noop("Nothing archived"),
    "empty_archived_hint": gettext_noop("What you archive is kept here."),
    "loading": gettext_noop("Loading notifications"),
    "reconnecting": gettext_noop("Connecting again …"),
    "offline": gettext_noop("You are offline. You see what was here last."),
    "broken": gettext_noop("Notifications could not be loaded"),
    "broken_more": gettext_noop("More could not be loaded."),
    "signed_out": gettext_noop("You are signed out"),
    "signed_out_hint": gettext_noop("Sign in again to see your notifications."),
    "too_many": gettext_noop("Open in too many places at once"),
    "sign_in": gettext_noop("Sign in"),
    "retry": gettext_noop("Try again"),
    "push_turn_on": gettext_noop("Turn on notifications on this device"),
    "push_turn_off": gettext_noop("Turn off notifications on this device"),
    "push_busy": gettext_noop("One moment …"),
    "push_on": gettext_noop("Notifications reach you here also when this page is closed."),
    "push_denied": gettext_noop(
        "Notifications of this site are blocked. Allow them in the settings of the "
        "browser, next to the address."
    ),
    "push_unsupported": gettext_noop(
        "This browser cannot show notifications while the page is closed."
    ),
    "push_insecure": gettext_noop("Notifications need a secure connection (https)."),
    "push_home_screen": gettext_noop(
        "Add this page to the home screen first (Share, then Add to Home Screen), open it "
        "from there, and come back to this button."
    ),
    "push_error_dismissed": gettext_noop(
        "The browser asked for your permission and got no answer. Press the button to be "
        "asked again."
    ),
    "push_error_no_web_push": gettext_noop("Notifications on devices are not set up here yet."),
    "push_error_not_authenticated": gettext_noop("You are signed out. Sign in again first."),
    "push_error_push_service": gettext_noop(
        "The browser could not reach its push service. Try again later."
    ),
    "push_error_worker": gettext_noop(
        "The browser could not install what receives notifications. Reload the page and try again."
    ),
    "push_error_network": gettext_noop("The hub cannot be reached. Try again later."),
    "push_error_other": gettext_noop("That did not work. Try again later."),
}


def translated(*, push: bool = False) -> dict[str, str]:
    """What is not English in the active language; a project's own catalogues count too.

    `push` chooses between the texts of `<push-switch>` and those of `<notification-inbox>`.
    """
    wanted = {name: text for name, text in TEXTS.items() if name.startswith("push_") == push}
    texts = {name: gettext(text) for name, text in wanted.items()}
    return {name: text for name, text in texts.items() if text != TEXTS[name]}
