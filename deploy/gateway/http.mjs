import { createServer } from 'node:http';
import { HeaderMap } from '@apollo/server';
import { headersToPassOn } from './subgraph.mjs';

const REQUEST_TIMEOUT_MS = 30_000;

class HttpError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** An HTTP server with `/graphql` and `/healthz`, not yet listening. */
export function createHttpServer(apollo, { maxBodyBytes }) {
  return createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    route(apollo, maxBodyBytes, request, response).catch((error) => {
      if (response.headersSent || response.destroyed) return response.destroy();
      if (!(error instanceof HttpError)) console.error(error);
      const known = error instanceof HttpError ? error : new HttpError(500, 'INTERNAL_SERVER_ERROR', 'A fault of the gateway.');
      sendJson(response, known.status, { errors: [{ message: known.message, extensions: { code: known.code } }] });
    });
  });
}

async function route(apollo, maxBodyBytes, request, response) {
  const { pathname, search } = new URL(request.url, 'http://gateway');
  if (pathname === '/healthz') return sendJson(response, 200, { status: 'ok' });
  if (pathname !== '/graphql') throw new HttpError(404, 'NOT_FOUND', 'Send operations to /graphql.');
  const headers = headerMap(request.headers);
  const answer = await apollo.executeHTTPGraphQLRequest({
    httpGraphQLRequest: { method: request.method, headers, search, body: await readBody(request, maxBodyBytes) },
    context: async () => ({ passedOn: headersToPassOn(headers) }),
  });
  response.writeHead(answer.status ?? 200, Object.fromEntries(answer.headers));
  if (answer.body.kind === 'complete') return response.end(answer.body.string);
  for await (const chunk of answer.body.asyncIterator) response.write(chunk);
  return response.end();
}

async function readBody(request, maxBodyBytes) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > maxBodyBytes) {
      throw new HttpError(413, 'REQUEST_TOO_LARGE', `The body is larger than ${maxBodyBytes} bytes.`);
    }
    chunks.push(chunk);
  }
  // Left undefined, Apollo Server answers what the type deserves: CSRF prevention, or 400.
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpError(400, 'BAD_REQUEST', 'The body is not JSON.');
  }
}

function headerMap(headers) {
  const map = new HeaderMap();
  for (const [name, value] of Object.entries(headers)) map.set(name, Array.isArray(value) ? value.join(', ') : value);
  return map;
}

function sendJson(response, status, body) {
  // A refused upload is not read to its end, so the connection cannot serve another request.
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  if (status === 413) headers.connection = 'close';
  response.writeHead(status, headers).end(JSON.stringify(body));
}
