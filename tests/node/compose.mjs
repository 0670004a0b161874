// Usage: node compose.mjs NAME=SDL_FILE ...
// Composes the subgraphs with each composer and prints {composer: {errors: [..], supergraph}}.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { composeServices as composeWithApollo } from '@apollo/composition';
import { composeServices as composeWithHive } from '@theguild/federation-composition';
import { parse, print } from 'graphql';

// Only its CommonJS build exists.
const { federateSubgraphs, LATEST_ROUTER_COMPATIBILITY_VERSION } = createRequire(import.meta.url)('@wundergraph/composition');

const subgraphs = process.argv.slice(2).map((argument) => {
  const [name, path] = argument.split('=', 2);
  return { name, url: `http://${name}.invalid/graphql`, sdl: readFileSync(path, 'utf8') };
});

const composers = {
  apollo: () => supergraphOf(composeWithApollo(services())),
  hive: () => supergraphOf(composeWithHive(services())),
  cosmo: () => {
    const result = federateSubgraphs({
      subgraphs: subgraphs.map(({ name, url, sdl }) => ({ name, url, definitions: parse(sdl) })),
      version: LATEST_ROUTER_COMPATIBILITY_VERSION,
    });
    return result.success
      ? { errors: [], supergraph: print(result.federatedGraphAST) }
      : { errors: result.errors.map((error) => error.message), supergraph: null };
  },
};

function services() {
  return subgraphs.map(({ name, url, sdl }) => ({ name, url, typeDefs: parse(sdl) }));
}

function supergraphOf({ errors = [], supergraphSdl = null }) {
  return { errors: errors.map((error) => error.message), supergraph: supergraphSdl };
}

const results = Object.fromEntries(Object.entries(composers).map(([name, compose]) => [name, compose()]));
console.log(JSON.stringify(results));
