// The page shows the same without this script, as it was when it was opened.
const events = new EventSource("/live/events");

events.addEventListener("session", (event) => {
  for (const [id, text] of Object.entries(JSON.parse(event.data))) {
    document.getElementById(id).textContent = text;
  }
});

events.addEventListener("over", () => {
  events.close();
  document.getElementById("over").hidden = false;
});

// The browser comes back by itself when the connection breaks. It gives up when a guard
// has refused the stream: then the guard of the page says why. The pause is for a stream
// that fails each time although its page does not.
events.addEventListener("error", () => {
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
});
