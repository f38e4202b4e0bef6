// The client without the component: import 'django-notification-hub/inbox' for that.

export { HubClient } from './client.js';
export { HubError } from './rest.js';
