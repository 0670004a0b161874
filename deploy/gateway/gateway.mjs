import { pathToFileURL } from 'node:url';
import { ApolloGateway } from '@apollo/gateway';
import { ApolloServer } from '@apollo/server';
import { ApolloServerPluginDrainHttpServer } from '@apollo/server/plugin/drainHttpServer';
import { refuseUnenforcedAuthorization } from './authorization.mjs';
import { composeSupergraph } from './compose.mjs';
import { ConfigError, loadConfig, readConfigured } from './config.mjs';
import { createHttpServer } from './http.mjs';
import { subgraphDataSource } from './subgraph.mjs';

/**
 * Starts the gateway; no subgraph has to be up for it.
 *
 * @returns {Promise<{url: string, stop: () => Promise<void>}>} `stop` lets running operations end
 * @throws {ConfigError} when the subgraphs do not compose or the port is taken
 */
export async function startGateway(config) {
  const byName = new Map(config.subgraphs.map((subgraph) => [subgraph.name, subgraph]));
  const supergraphSdl = config.supergraphFile
    ? readConfigured(config.supergraphFile)
    : composeSupergraph(config.subgraphs);
  refuseUnenforcedAuthorization(supergraphSdl);
  const gateway = new ApolloGateway({
    supergraphSdl,
    buildService({ name }) {
      const subgraph = byName.get(name);
      if (subgraph === undefined) throw new ConfigError(`the supergraph names "${name}", which the configuration does not`);
      return subgraphDataSource({
        url: subgraph.url,
        timeoutMs: config.subgraphTimeoutMs,
        gatewaySecret: subgraph.provesGateway ? config.gatewaySecret : undefined,
      });
    },
  });
  const apollo = new ApolloServer({
    gateway,
    introspection: config.introspection,
    hideSchemaDetailsFromClientErrors: config.production,
    includeStacktraceInErrorResponses: false,
    csrfPrevention: true,
    maxRecursiveSelections: true,
    stopOnTerminationSignals: false,
  });
  const server = createHttpServer(apollo, config);
  apollo.addPlugin(ApolloServerPluginDrainHttpServer({ httpServer: server }));
  await apollo.start();
  try {
    await listen(server, config);
  } catch (error) {
    await apollo.stop();
    throw error;
  }
  const { port } = server.address();
  return { url: `http://${config.host}:${port}/graphql`, stop: () => apollo.stop() };
}

/** Listens, or says in plain words that the port is taken. */
export function listen(server, { host, port }) {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const taken = error.code === 'EADDRINUSE';
      reject(new ConfigError(taken ? `port ${port} is taken: stop what listens there, or choose another port` : error.message));
    });
    server.listen(port, host, resolve);
  });
}

/**
 * Runs `start`, then waits for SIGINT or SIGTERM and calls the `stop` that it resolved to; a signal
 * during the start waits for its end. A `ConfigError` ends the process with code 1.
 */
export function runUntilSignal(start) {
  // Before the start, which announces itself: whoever reads that may stop the gateway at once.
  let started;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => started.then((stop) => stop()).then(() => process.exit(0), fail));
  }
  started = start();
  started.catch(fail);
}

function fail(error) {
  console.error(error instanceof ConfigError ? error.message : error);
  process.exit(1);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  runUntilSignal(async () => {
    const { url, stop } = await startGateway(loadConfig());
    console.log(`gateway ready at ${url}`);
    return stop;
  });
}
