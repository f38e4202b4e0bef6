"""The hub's settings that concern the roads: the dict `HUB`, read lazily and typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from notifications.conf import HubSettings, load

#: The push services of Chrome, Firefox, Safari and Edge; below each name too.
WEBPUSH_HOSTS = (
    "fcm.googleapis.com",
    "jmt17.google.com",
    "push.services.mozilla.com",
    "web.push.apple.com",
    "notify.windows.com",
)


@dataclass(frozen=True, slots=True)
class RoutingSettings(HubSettings):
    #: Origins (scheme, host, port) whose pages may open sockets.
    allowed_origins: list = field(default_factory=list)  # type: ignore[type-arg]
    #: How long a push waits for an acknowledgement from a live client.
    grace: timedelta = timedelta(seconds=10)
    #: Sockets of one user in one process; one more closes the oldest with 4502.
    sockets_per_user: int = 20
    #: How often each process compares its sockets with the database; jittered.
    reconcile: timedelta = timedelta(seconds=4)
    #: How often sessions, tokens and users behind open sockets are looked at.
    verify: timedelta = timedelta(seconds=20)
    #: "auto" (with the local layer), "on" or "off": whether the server process is a worker too.
    worker_in_server: str = "auto"
    #: Threads for the database work of the live road, per process.
    live_threads: int = 4
    #: Backends by name, as dotted paths; added to the hub's own, a name given again replaces one.
    backends: dict = field(default_factory=dict)  # type: ignore[type-arg]
    #: Hosts that a Web Push endpoint may have; "*" allows any public one.
    webpush_hosts: list = field(default_factory=lambda: list(WEBPUSH_HOSTS))  # type: ignore[type-arg]
    #: Allows http, loopback and any port for providers on this machine; refused without DEBUG.
    push_local_peers: bool = False
    #: Secrets that encrypt credentials at rest, newest first, each of 32 characters or more.
    credential_keys: list = field(default_factory=list)  # type: ignore[type-arg]
    #: Credentials by name of application: `{"backend", "credentials", "default", "concurrency"}`.
    applications: dict = field(default_factory=dict)  # type: ignore[type-arg]
    #: How push services reach whoever runs the hub, for the key that it makes itself.
    vapid_subject: str = "mailto:hub@example.com"
    #: How often a provider is asked at most for one delivery.
    push_attempts: int = 10
    #: How long after its first attempt a delivery is tried again.
    push_age: timedelta = timedelta(hours=1)
    #: How long a delivery waits at most for its first attempt: for a worker, a pause, a suspension.
    push_wait: timedelta = timedelta(hours=24)
    #: How long a worker holds what it claims, at least: another takes over when it is gone.
    push_lease: timedelta = timedelta(seconds=60)
    #: How long a provider keeps a push for a device that is away, unless the event says otherwise.
    push_ttl: timedelta = timedelta(hours=24)
    #: Whether direct pushes wait for batches.
    push_batch: bool = False
    #: How many a batch sends at most.
    push_batch_size: int = 20
    #: How often each worker sends a batch; 0 leaves it to `send_messages_batch`.
    push_batch_every: timedelta = timedelta(minutes=1)
    #: How long finished deliveries are kept.
    delivery_retention: timedelta = timedelta(days=30)
    #: Whether finished deliveries are kept at all.
    persist_deliveries: bool = True
    #: Devices of one user; the oldest inactive one goes when one more is registered.
    devices_per_user: int = 20
    #: How many devices without an owner there may be; 0: nobody registers without signing in.
    open_registration: int = 0
    #: How long devices that are inactive are kept.
    inactive_devices: timedelta = timedelta(days=90)

    @classmethod
    def problems(cls, given: Mapping[str, Any]) -> list[str]:
        # Not super(): a dataclass with slots is another class than the one this was written in.
        found = HubSettings.problems.__func__(cls, given)  # type: ignore[attr-defined]
        applications = given.get("APPLICATIONS", {})
        if isinstance(applications, dict):
            found += [line for item in applications.items() for line in _application(*item)]
        if given.get("PUSH_BATCH_SIZE") == 0:
            found.append('HUB["PUSH_BATCH_SIZE"] must be at least 1')
        return list(found)


def _application(name: Any, wanted: Any) -> list[str]:
    """Sentences about one entry of APPLICATIONS; its credentials are the backend's to judge."""
    where = f'HUB["APPLICATIONS"][{name!r}]'
    if not isinstance(name, str) or not 1 <= len(name) <= 100:
        return [f"{where}: a name is a text of 1 to 100 characters"]
    if not isinstance(wanted, Mapping) or not isinstance(wanted.get("backend"), str):
        return [f"{where} must be a dict with a backend"]
    found = [
        f"{where} has an unknown key {key!r}"
        for key in wanted
        if key not in ("backend", "credentials", "default", "concurrency")
    ]
    if not isinstance(wanted.get("credentials", {}), Mapping):
        found.append(f"{where}: credentials must be a dict")
    if not isinstance(wanted.get("default", False), bool):
        found.append(f"{where}: default must be true or false")
    concurrency = wanted.get("concurrency")
    if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
        found.append(f"{where}: concurrency must be an integer of at least 1")
    return found


def conf() -> RoutingSettings:
    return load(RoutingSettings)
