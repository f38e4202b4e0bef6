"""The push road over HTTP: devices, deliveries, preferences and the VAPID key."""
