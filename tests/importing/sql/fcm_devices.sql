-- django-fcm-devices 1.0.
CREATE TABLE fcm_devices_device (
    id {id},
    name text NOT NULL,
    active {bool} NOT NULL,
    type varchar(30) NOT NULL,
    token text NOT NULL,
    updated_at {time} NOT NULL,
    created_at {time} NOT NULL,
    user_id {user} NOT NULL,
    UNIQUE (user_id, token)
);
