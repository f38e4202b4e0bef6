"""What django-notifications-hq 1.8 leaves in a database: its table, rows, and migration records."""

import uuid

MIGRATIONS = [
    "0001_initial",
    "0002_auto_20150224_1134",
    "0003_notification_data",
    "0004_auto_20150826_1508",
    "0005_auto_20160504_1520",
    "0006_indexes",
    "0007_add_timestamp_index",
    "0008_index_together_recipient_unread",
    "0009_alter_notification_options_and_more",
]

TABLE = """
CREATE TABLE notifications_notification (
    id {serial} PRIMARY KEY,
    level varchar(20) NOT NULL,
    unread {boolean} NOT NULL,
    actor_object_id varchar(255) NOT NULL,
    verb varchar(255) NOT NULL,
    description text,
    target_object_id varchar(255),
    action_object_object_id varchar(255),
    timestamp {time} NOT NULL,
    public {boolean} NOT NULL,
    deleted {boolean} NOT NULL,
    emailed {boolean} NOT NULL,
    data text,
    action_object_content_type_id integer REFERENCES django_content_type (id),
    actor_content_type_id integer NOT NULL REFERENCES django_content_type (id),
    recipient_id {uuid} NOT NULL REFERENCES people_person (id),
    target_content_type_id integer REFERENCES django_content_type (id)
)
"""
INDEX = "CREATE INDEX notifications_recipient_unread ON notifications_notification"
INDEX += " (recipient_id, unread)"

TYPES = {
    "sqlite": {
        "serial": "integer",
        "boolean": "bool",
        "time": "datetime",
        "uuid": "char(32)",
    },
    "postgresql": {
        "serial": "serial",
        "boolean": "boolean",
        "time": "timestamptz",
        "uuid": "uuid",
    },
}


PERSON = """
INSERT INTO people_person (id, password, is_superuser, username, first_name, last_name, email,
    is_staff, is_active, date_joined)
VALUES ('{key}', '{password}', true, 'ada', '', '', 'ada@example.com', true, true,
    CURRENT_TIMESTAMP)
"""
RECORDS = "INSERT INTO django_migrations (app, name, applied) VALUES "
CONTENT_TYPES = """
INSERT INTO django_content_type (app_label, model)
VALUES ('notifications', 'notification')
"""
ROW = """
INSERT INTO notifications_notification (level, unread, actor_object_id, verb, timestamp,
    public, deleted, emailed, actor_content_type_id, recipient_id)
SELECT 'info', true, '1', 'said hello', CURRENT_TIMESTAMP, true, false, false,
    (SELECT id FROM django_content_type WHERE model = 'person'), id FROM people_person
"""


def statements(vendor: str, *, key: uuid.UUID, password: str) -> list[str]:
    """A user and what she was told. Run them where the tables of the users and of content types
    are there, and none of the hub's."""
    records = ", ".join(f"('notifications', '{name}', CURRENT_TIMESTAMP)" for name in MIGRATIONS)
    stored = key.hex if vendor == "sqlite" else str(key)
    return [
        PERSON.format(key=stored, password=password),
        TABLE.format_map(TYPES[vendor]),
        INDEX,
        RECORDS + records,
        CONTENT_TYPES,
        ROW,
    ]
