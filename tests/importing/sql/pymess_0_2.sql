-- django-pymess 0.2, push part: JSON as text, no priority, no redirect, no lock.
CREATE TABLE pymess_pushnotificationtemplate (
    created_at {time} NOT NULL,
    changed_at {time} NOT NULL,
    slug varchar(100) NOT NULL PRIMARY KEY,
    body text NULL,
    heading text NOT NULL,
    is_active {bool} NOT NULL
);
CREATE TABLE pymess_pushnotificationmessage (
    id {id},
    created_at {time} NOT NULL,
    changed_at {time} NOT NULL,
    sent_at {time} NULL,
    recipient varchar(20) NOT NULL,
    content text NOT NULL,
    template_slug varchar(100) NULL,
    backend varchar(250) NULL,
    error text NULL,
    extra_data text NULL,
    extra_sender_data text NULL,
    tag varchar(50) NULL,
    state integer NOT NULL,
    heading text NOT NULL,
    url varchar(200) NULL,
    template_id varchar(100) NULL
);
CREATE TABLE pymess_pushnotificationmessagerelatedobject (
    id {id},
    created_at {time} NOT NULL,
    changed_at {time} NOT NULL,
    object_id text NOT NULL,
    object_id_int integer NULL,
    content_type_id integer NOT NULL,
    push_notification_message_id integer NOT NULL
);
