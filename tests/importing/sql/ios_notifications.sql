-- django-ios-notifications 0.2.
CREATE TABLE ios_notifications_apnservice (
    id {id},
    name varchar(255) NOT NULL,
    hostname varchar(255) NOT NULL,
    certificate text NOT NULL,
    private_key text NOT NULL,
    passphrase varchar(110) NULL,
    UNIQUE (name, hostname)
);
CREATE TABLE ios_notifications_device (
    id {id},
    token varchar(64) NOT NULL,
    is_active {bool} NOT NULL,
    deactivated_at {time} NULL,
    service_id integer NOT NULL,
    added_at {time} NOT NULL,
    last_notified_at {time} NULL,
    platform varchar(30) NULL,
    display varchar(30) NULL,
    os_version varchar(20) NULL,
    UNIQUE (token, service_id)
);
CREATE TABLE ios_notifications_device_users (
    id {id},
    device_id integer NOT NULL,
    user_id {user} NOT NULL,
    UNIQUE (device_id, user_id)
);
CREATE TABLE ios_notifications_notification (
    id {id},
    service_id integer NOT NULL,
    message varchar(2048) NOT NULL,
    badge integer NULL,
    silent {bool} NULL,
    sound varchar(30) NOT NULL,
    created_at {time} NOT NULL,
    last_sent_at {time} NULL,
    custom_payload varchar(240) NOT NULL,
    loc_payload varchar(240) NOT NULL
);
