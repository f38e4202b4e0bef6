/* The preferences page: each part saves by itself, and says in its own place how that went. */

import { Rest } from '../notifications/rest.js';
import { Site } from '../notifications/site.js';
import { devices } from './devices.js';
import { quietHours } from './quiet-hours.js';
import { types } from './types.js';

const page = document.getElementById('content');
const site = new Site({ apiUrl: page.dataset.api });
const rest = new Rest({
  apiUrl: site.api,
  fetch: (...request) => fetch(...request),
  token: null,
  csrf: () => site.csrf(),
  credentials: 'same-origin',
  timeout: 15_000,
});

const offline = document.getElementById('offline');
const look = () => (offline.hidden = navigator.onLine);
addEventListener('online', look);
addEventListener('offline', look);
look();

types(document.getElementById('types'), rest);
quietHours(rest);
devices(document.getElementById('devices'), rest);
