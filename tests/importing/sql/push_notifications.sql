-- django-push-notifications 3.x: four tables of devices.
CREATE TABLE push_notifications_gcmdevice (
    id {id},
    name varchar(255) NULL,
    active {bool} NOT NULL,
    user_id {user} NULL,
    date_created {time} NULL,
    application_id varchar(64) NULL,
    device_id {hexinteger} NULL,
    registration_id text NOT NULL,
    cloud_message_type varchar(3) NOT NULL
);
CREATE TABLE push_notifications_apnsdevice (
    id {id},
    name varchar(255) NULL,
    active {bool} NOT NULL,
    user_id {user} NULL,
    date_created {time} NULL,
    application_id varchar(64) NULL,
    device_id {uuid} NULL,
    registration_id varchar(200) NOT NULL
);
CREATE TABLE push_notifications_wnsdevice (
    id {id},
    name varchar(255) NULL,
    active {bool} NOT NULL,
    user_id {user} NULL,
    date_created {time} NULL,
    application_id varchar(64) NULL,
    device_id {uuid} NULL,
    registration_id text NOT NULL
);
CREATE TABLE push_notifications_webpushdevice (
    id {id},
    name varchar(255) NULL,
    active {bool} NOT NULL,
    user_id {user} NULL,
    date_created {time} NULL,
    application_id varchar(64) NULL,
    registration_id text NOT NULL,
    p256dh varchar(88) NOT NULL,
    auth varchar(24) NOT NULL,
    browser varchar(10) NOT NULL
);
