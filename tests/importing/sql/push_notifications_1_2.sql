-- django-push-notifications 1.2: before WNS, Web Push, FCM and application ids.
CREATE TABLE push_notifications_gcmdevice (
    id {id},
    name varchar(255) NULL,
    active {bool} NOT NULL,
    user_id {user} NULL,
    date_created {time} NULL,
    device_id {hexinteger} NULL,
    registration_id text NOT NULL
);
CREATE TABLE push_notifications_apnsdevice (
    id {id},
    name varchar(255) NULL,
    active {bool} NOT NULL,
    user_id {user} NULL,
    date_created {time} NULL,
    device_id {uuid} NULL,
    registration_id varchar(64) NOT NULL UNIQUE
);
