-- django-pymess 0.7, push part.
CREATE TABLE pymess_pushnotificationtemplate (
    created_at {time} NOT NULL,
    changed_at {time} NOT NULL,
    slug varchar(100) NOT NULL PRIMARY KEY,
    body text NULL,
    is_active {bool} NOT NULL,
    is_locked {bool} NOT NULL,
    is_allowed_duplicate_messages {bool} NOT NULL,
    heading text NOT NULL,
    redirect_url text NULL
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
    extra_data {json} NULL,
    extra_sender_data {json} NULL,
    tag varchar(50) NULL,
    number_of_send_attempts integer NOT NULL,
    priority smallint NOT NULL,
    state integer NOT NULL,
    heading text NOT NULL,
    url varchar(200) NULL,
    redirect_url text NULL,
    template_id varchar(100) NULL
);
CREATE TABLE pymess_pushnotificationmessagerelatedobject (
    id {id},
    created_at {time} NOT NULL,
    changed_at {time} NOT NULL,
    object_id text NOT NULL,
    content_type_id integer NOT NULL,
    push_notification_message_id integer NOT NULL
);
