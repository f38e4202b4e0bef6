/* The inbox page around <notification-inbox>: the form that sends, the number in the title, and
   that on a phone an empty list makes room for the form. */

const $ = (id) => document.getElementById(id);
const name = document.title;

document.addEventListener("notification-counters", ({ detail }) => {
  document.title = detail.unseen ? `(${detail.unseen}) ${name}` : name;
  // The number that pushes set, where the hub is installed as an app.
  navigator.setAppBadge?.(detail.unread).catch(() => {});
});

customElements.whenDefined("notification-inbox").then(() => {
  const { client } = document.querySelector("notification-inbox[layout=inline]");
  const look = () => {
    const { loaded, items, filter } = client.getState();
    if (!loaded || filter.state !== "inbox" || filter.type) return;
    document.body.classList.toggle("is-empty", items.length === 0);
  };
  client.subscribe(look);
  look();
});

$("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const problem = $("send-problem");
  const fields = [$("title"), $("message")];
  const given = fields.map((field) => field.value);
  problem.hidden = true;
  $("sent").textContent = "Sending…";
  const words = await send(form).catch(() => "The hub cannot be reached.");
  $("sent").textContent = words ? "" : "Sent.";
  problem.textContent = words;
  problem.hidden = !words;
  if (words) return;
  // what was typed meanwhile is for the next one
  for (const [number, field] of fields.entries()) {
    if (field.value === given[number]) field.value = "";
  }
});

/** What went wrong, in words; nothing if it was sent. */
async function send(form) {
  const headers = { Accept: "application/json" };
  const body = new FormData(form);
  const answer = await fetch(form.getAttribute("action"), { method: "POST", headers, body });
  if (answer.redirected) return location.reload();
  const data = await answer.json().catch(() => ({}));
  return answer.ok ? "" : (data.detail ?? `The hub answered ${answer.status}.`);
}
