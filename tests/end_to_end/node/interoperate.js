// Verifies and signs, with the package of Standard Webhooks, what comes as JSON on standard
// input; the verdicts and signatures go to standard output. See ../interoperate.py.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { verify, sign } = JSON.parse(readFileSync(0, "utf8"));

function verdict({ secret, headers, body }) {
  try {
    return { payload: new Webhook(secret).verify(body, headers) };
  } catch (error) {
    return { refused: `${error.constructor.name}: ${error.message}` };
  }
}

const signatures = sign.map(({ secret, id, timestamp, body }) =>
  new Webhook(secret).sign(id, new Date(timestamp * 1000), body),
);
console.log(JSON.stringify({ verdicts: verify.map(verdict), signatures }));
