/* The operator's page: asks for the numbers every few seconds, and shows them where they belong. */

import { Picture } from './plot.js';

const EVERY = 5_000; // ms between two requests, while the page is seen

const $ = (id) => document.getElementById(id);
const address = $('content').dataset.numbers;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const pictures = new Map();
for (const section of document.querySelectorAll('.plot')) {
  pictures.set(section.id.replace('plot-', ''), new Picture(section));
}

let span = document.querySelector('input[name=span]:checked').value;
let timer = 0;
let asked = 0;

for (const input of document.querySelectorAll('input[name=span]')) {
  input.addEventListener('change', () => {
    span = input.value;
    history.replaceState(null, '', `?span=${span}`);
    ask();
  });
}
document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : ask()));
ask();

async function ask() {
  clearTimeout(timer);
  const number = ++asked;
  const problem = await load(number).then(() => '', say);
  // an answer to an older question says nothing of now
  if (number !== asked) return;
  if ($('problem').textContent !== problem) $('problem').textContent = problem;
  $('problem').hidden = !problem;
  if (!document.hidden) timer = setTimeout(ask, EVERY);
}

function say(error) {
  return error instanceof TypeError || error.name === 'TimeoutError'
    ? 'The hub cannot be reached. What you see is not up to date.'
    : error.message;
}

async function load(number) {
  const answer = await fetch(`${address}?span=${span}`, {
    headers: { Accept: 'application/json' },
    signal: AbortSignal.timeout(20_000),
  });
  if (answer.redirected) return location.reload(); // to log in
  if (!answer.ok) throw new Error(`The hub answered ${answer.status}. What you see is not up to date.`);
  const numbers = await answer.json();
  if (number !== asked) return;
  showFacts(numbers.now);
  for (const { id, lines } of numbers.plots) pictures.get(id).show(numbers, lines);
  $('updated').textContent = `What all processes of the hub do. Updated ${clock.format(new Date())}.`;
}

/** Changes only what is different: who reads the list with a screen reader stays in it. */
function showFacts(facts) {
  const list = $('facts');
  const known = new Map([...list.children].map((item) => [item.dataset.fact, item]));
  for (const fact of facts) {
    const item = known.get(fact.id) ?? emptyFact(fact.id);
    known.delete(fact.id);
    const [title, text, note] = item.children;
    put(title, fact.title);
    put(text, fact.text);
    put(note, fact.note);
    note.hidden = !fact.note;
    item.dataset.state = fact.state;
    list.append(item);
  }
  for (const item of known.values()) item.remove();
  list.removeAttribute('aria-busy');
}

function emptyFact(id) {
  const item = document.createElement('li');
  item.dataset.fact = id;
  item.append(...['h3', 'b', 'p'].map((name) => document.createElement(name)));
  return item;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
