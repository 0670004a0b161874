// Usage: node audit.mjs URL [AUTHORIZATION]
// Runs the GraphQL-over-HTTP audits and prints {ok, notice, warn, error, failures: [{id, name, status, reason}]}.
import { serverAudits } from 'graphql-http';

const [url, authorization] = process.argv.slice(2);

function fetchFn(input, init = {}) {
  const headers = new Headers(init.headers);
  if (authorization) headers.set('authorization', authorization);
  return fetch(input, { ...init, headers });
}

const counts = { ok: 0, notice: 0, warn: 0, error: 0 };
const failures = [];
for (const audit of serverAudits({ url, fetchFn })) {
  const result = await audit.fn();
  counts[result.status] += 1;
  if (result.status !== 'ok') {
    failures.push({ id: audit.id, name: audit.name, status: result.status, reason: result.reason });
  }
}
console.log(JSON.stringify({ ...counts, failures }));
