// Follow a job, as a browser would: node follow.js URL
// Prints a line for each event (its type and id), each reconnection, and the end.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
for (const type of ["job.progress", "job.completed", "job.error"]) {
  source.addEventListener(type, (event) => {
    if (JSON.parse(event.data).version !== Number(event.lastEventId)) {
      throw new Error(event.data);
    }
    console.log(type, event.lastEventId);
  });
}
source.addEventListener("error", (event) => {
  // It reconnects by itself, unless it is told that there is nothing more to come.
  const closed = source.readyState === EventSource.CLOSED;
  console.log(closed ? "closed" : "reconnecting", event.code ?? "");
});
