import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { parse } from 'graphql';
import { createHandler } from 'graphql-http/lib/use/http';
import { billingOf, customerIds, gridCarbonIntensityOf } from './data.mjs';

const MAX_PAGE = 100;
const MAX_RECORDED = 1_000;

/**
 * The neighbour's HTTP server, not yet listening: `/graphql`, and `/requests` when `record` is set,
 * where GET lists the headers and bodies that came in and DELETE forgets them.
 *
 * @param {{tenants?: string[], record?: boolean}} options `tenants` come first among the customers
 */
export function createNeighbour({ tenants = [], record = false } = {}) {
  const handle = createHandler({ schema: subgraphSchema(tenants) });
  const recorded = [];
  return createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://neighbour');
    if (pathname === '/requests' && record) return answerRecorded(recorded, request, response);
    if (pathname !== '/graphql') return response.writeHead(404).end();
    if (record && recorded.length < MAX_RECORDED) recorded.push({ headers: request.headers });
    return handle(request, response);
  });
}

function subgraphSchema(tenants) {
  const typeDefs = parse(readFileSync(new URL('schema.graphql', import.meta.url), 'utf8'));
  return buildSubgraphSchema({
    typeDefs,
    resolvers: {
      Query: {
        customers: (_, { first }) => {
          if (first < 1 || first > MAX_PAGE) throw new RangeError(`first must be 1..${MAX_PAGE}`);
          return customerIds(tenants, first).map((id) => ({ id }));
        },
      },
      Tenant: {
        plan: ({ id }) => billingOf(id).plan,
        seats: ({ id }) => billingOf(id).seats,
        monthlyFeeCents: ({ id }) => billingOf(id).monthlyFeeCents,
      },
      Region: {
        gridCarbonIntensity: ({ code }) => gridCarbonIntensityOf(code),
      },
    },
  });
}

function answerRecorded(recorded, request, response) {
  if (request.method === 'DELETE') recorded.length = 0;
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(recorded));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const tenants = (process.env.NEIGHBOUR_TENANTS ?? '').split(',').filter(Boolean);
  const server = createNeighbour({ tenants, record: process.env.NEIGHBOUR_RECORD === 'true' });
  server.listen(Number(process.env.NEIGHBOUR_PORT ?? 4001), '127.0.0.1', () => {
    console.log(`neighbour ready at http://127.0.0.1:${server.address().port}/graphql`);
  });
  process.once('SIGTERM', () => server.close());
}
