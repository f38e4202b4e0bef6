-- Django REST Notifications: an app called `notifications`.
CREATE TABLE notifications_eventtype (
    id {id},
    name varchar(100) NOT NULL UNIQUE,
    title varchar(300) NOT NULL UNIQUE,
    description varchar(1000) NULL
);
CREATE TABLE notifications_event (
    id {id},
    timestamp {time} NOT NULL,
    title varchar(200) NOT NULL,
    message varchar(1000) NULL,
    data text NULL,
    author_id {user} NULL,
    type_id integer NOT NULL
);
CREATE TABLE notifications_notification (
    id {id},
    readed {time} NULL,
    event_id integer NOT NULL,
    user_id {user} NOT NULL
);
CREATE TABLE notifications_notificationsfilter (
    id {id},
    user_id {user} NOT NULL UNIQUE
);
CREATE TABLE notifications_notificationsfilter_types_enabled (
    id {id},
    notificationsfilter_id integer NOT NULL,
    eventtype_id integer NOT NULL
);
