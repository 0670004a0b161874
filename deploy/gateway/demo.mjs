import { parseArgs } from 'node:util';
import { createNeighbour } from '../../tests/neighbour/neighbour.mjs';
import { ConfigError, loadConfig, readConfigured } from './config.mjs';
import { listen, runUntilSignal, startGateway } from './gateway.mjs';

const HOST = '127.0.0.1';

/** The gateway and a neighbour in front of the demo that wrote `demoFile`. */
async function startDemo({ demoFile, gatewayPort, neighbourPort }) {
  const demo = readDemo(demoFile);
  const neighbour = createNeighbour({ tenants: demo.tenants });
  const config = loadConfig({ GATEWAY_PORT: gatewayPort, IG_GATEWAY_SECRET: demo.gatewaySecret });
  await listen(neighbour, { host: HOST, port: neighbourPort });
  const addresses = {
    governance: new URL('/graphql', demo.url).href,
    neighbour: `http://${HOST}:${neighbour.address().port}/graphql`,
  };
  const subgraphs = config.subgraphs.map((subgraph) => ({ ...subgraph, url: addresses[subgraph.name] ?? subgraph.url }));
  const gateway = await startGateway({ ...config, subgraphs });
  console.log(introduction(gateway.url, demo));
  return async () => {
    await gateway.stop();
    neighbour.close();
  };
}

function readDemo(path) {
  let demo;
  try {
    demo = JSON.parse(readConfigured(path));
  } catch {
    throw new ConfigError(`no running demo is described in ${path}: run \`make demo\` in another terminal first`);
  }
  return demo;
}

function introduction(url, demo) {
  const query = `{ tenant(id: "${demo.tenants[0]}") { name homeRegion { code gridCarbonIntensity } plan seats } }`;
  return [
    `gateway ready at ${url}`,
    'Ctrl-C stops it. One query over both subgraphs, to paste:',
    '',
    `curl -s ${url} -H 'content-type: application/json' \\`,
    `  -H 'authorization: Bearer ${demo.tokens.viewer}' \\`,
    `  -d '${JSON.stringify({ query })}'`,
  ].join('\n');
}

const { values } = parseArgs({
  options: {
    demo: { type: 'string', default: '.data/demo.json' },
    port: { type: 'string', default: '4000' },
    'neighbour-port': { type: 'string', default: '4001' },
  },
});
runUntilSignal(() =>
  startDemo({ demoFile: values.demo, gatewayPort: values.port, neighbourPort: Number(values['neighbour-port']) }),
);
