-- django-notifications-hq 1.8: an app called `notifications`.
CREATE TABLE notifications_notification (
    id {id},
    level varchar(20) NOT NULL,
    unread {bool} NOT NULL,
    actor_object_id varchar(255) NOT NULL,
    verb varchar(255) NOT NULL,
    description text NULL,
    target_object_id varchar(255) NULL,
    action_object_object_id varchar(255) NULL,
    timestamp {time} NOT NULL,
    public {bool} NOT NULL,
    deleted {bool} NOT NULL,
    emailed {bool} NOT NULL,
    data text NULL,
    actor_content_type_id integer NOT NULL,
    recipient_id {user} NOT NULL,
    target_content_type_id integer NULL,
    action_object_content_type_id integer NULL
);
