/* Quiet hours: the switch saves at once, the times and the zone by the button. */

import { Outcome } from './outcome.js';

const $ = (id) => document.getElementById(id);

/** Of the API → the field that it is said at. */
const FIELDS = {
  quiet_hours: 'quiet-end',
  'quiet_hours.start': 'quiet-start',
  'quiet_hours.end': 'quiet-end',
  time_zone: 'time-zone',
};

export function quietHours(rest) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const outcome = new Outcome($('quiet-outcome'), $('quiet-problem'));
  const [on, form, zone, offer] = [$('quiet-on'), $('quiet-hours'), $('time-zone'), $('use-zone')];
  // Nobody has chosen the zone yet: the browser's is the likeliest.
  if (!on.checked && zone.value === 'UTC' && here) zone.value = here;

  const look = () => {
    form.hidden = !on.checked;
    offer.hidden = !here || zone.value === here;
    offer.textContent = `Use ${here}, the time zone of this browser`;
    $('zone-hint').textContent = hint(zone.value);
  };

  const save = async (body, words) => {
    for (const id of Object.values(FIELDS)) $(id).removeAttribute('aria-invalid');
    outcome.waits('Saving…');
    try {
      await rest.patch('preferences/', body);
      outcome.good(words);
      return true;
    } catch (error) {
      outcome.bad(error);
      const wrong = Object.keys(error.fields ?? {}).map((name) => FIELDS[name]);
      for (const id of wrong.filter(Boolean)) {
        $(id).setAttribute('aria-invalid', 'true');
        $(id).setAttribute('aria-describedby', 'quiet-problem');
      }
      $(wrong.find(Boolean))?.focus();
      return false;
    }
  };

  const chosen = () => ({
    quiet_hours: { start: $('quiet-start').value, end: $('quiet-end').value },
    time_zone: zone.value.trim(),
  });

  on.addEventListener('change', async () => {
    const wanted = on.checked;
    look();
    const saved = await save(
      wanted ? chosen() : { quiet_hours: null },
      wanted ? 'Quiet hours are on' : 'Quiet hours are off',
    );
    if (!saved) on.checked = !wanted;
    look();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    save(chosen(), 'Saved');
  });
  zone.addEventListener('input', look);
  offer.addEventListener('click', () => {
    zone.value = here;
    look();
    zone.focus();
  });
  for (const name of Intl.supportedValuesOf?.('timeZone') ?? []) {
    $('zones').append(new Option('', name));
  }
  look();
}

/** What the clock says there: whoever mistakes the zone sees it. */
function hint(timeZone) {
  try {
    const clock = { hour: '2-digit', minute: '2-digit', timeZone };
    return `There it is ${new Date().toLocaleTimeString([], clock)} now.`;
  } catch {
    return '';
  }
}
