import { RemoteGraphQLDataSource } from '@apollo/gateway';

const PASSED_ON = [
  'authorization',
  'apollographql-client-name',
  'apollographql-client-version',
  'idempotency-key',
  'traceparent',
  'tracestate',
  'x-request-id',
];
const SECRET_HEADER = 'x-ig-gateway-secret';
const ACCEPT = 'application/graphql-response+json, application/json;q=0.9';

/**
 * The headers of a client's request that subgraphs may see. What the client did not send is absent;
 * a secret that it sent in the gateway's name is not among them.
 */
export function headersToPassOn(incoming) {
  return PASSED_ON.flatMap((name) => (incoming.has(name) ? [[name, incoming.get(name)]] : []));
}

/** One subgraph as the gateway calls it. `gatewaySecret` is given only for the one that asks for proof. */
export function subgraphDataSource({ url, timeoutMs, gatewaySecret }) {
  return new RemoteGraphQLDataSource({
    url,
    fetcher: fetchFrom(timeoutMs),
    willSendRequest({ request, context }) {
      request.http.headers.set('accept', ACCEPT);
      for (const [header, value] of context.passedOn ?? []) request.http.headers.set(header, value);
      if (gatewaySecret !== undefined) request.http.headers.set(SECRET_HEADER, gatewaySecret);
    },
  });
}

// The gateway throws on every status but 2xx: it replaces the subgraph's error code, and shows the
// subgraph's address and whole answer to the client. So the fetcher hands on what is a GraphQL
// answer under whatever status, and turns everything else into one with a stable code.
function fetchFrom(timeoutMs) {
  return async (url, init) => {
    let response;
    let text;
    try {
      response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
      text = await response.text();
    } catch (error) {
      return error.name === 'TimeoutError'
        ? failure('SUBGRAPH_TIMEOUT', `No answer within ${timeoutMs} ms.`)
        : failure('SUBGRAPH_UNAVAILABLE', 'The subgraph cannot be reached.');
    }
    if (!isGraphQLAnswer(text)) {
      return failure('SUBGRAPH_UNAVAILABLE', `The subgraph answered ${response.status} without GraphQL.`);
    }
    return answer(text, response.headers.get('cache-control'));
  };
}

function isGraphQLAnswer(text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    return false;
  }
  if (body === null || typeof body !== 'object') return false;
  return Array.isArray(body.errors) || (typeof body.data === 'object' && body.data !== null);
}

function failure(code, message) {
  return answer(JSON.stringify({ errors: [{ message, extensions: { code } }] }), 'no-store');
}

function answer(text, cacheControl) {
  const headers = { 'content-type': 'application/json' };
  if (cacheControl !== null) headers['cache-control'] = cacheControl;
  return new Response(text, { status: 200, headers });
}
