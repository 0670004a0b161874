import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { composeServices } from '@apollo/composition';
import { parse } from 'graphql';
import { withoutAuthorization } from './authorization.mjs';
import { ConfigError, loadConfig, readConfigured } from './config.mjs';

/**
 * Composes the supergraph from the SDL files of the subgraphs, so that none of them has to run.
 *
 * @returns {string} the supergraph's SDL
 * @throws {ConfigError} with every composition error, or the file that cannot be read or parsed
 */
export function composeSupergraph(subgraphs) {
  const services = subgraphs.map(({ name, url, sdlFile, enforcesAuthorization }) => {
    if (sdlFile === undefined) throw new ConfigError(`"${name}" has no "sdl" to compose from`);
    const typeDefs = parseSdl(readConfigured(sdlFile), sdlFile);
    return { name, url, typeDefs: enforcesAuthorization ? withoutAuthorization(typeDefs) : typeDefs };
  });
  const { errors, supergraphSdl } = composeServices(services);
  if (errors) {
    throw new ConfigError(`the subgraphs do not compose:\n${errors.map((error) => `  ${error.message}`).join('\n')}`);
  }
  return supergraphSdl;
}

function parseSdl(sdl, path) {
  try {
    return parse(sdl);
  } catch (error) {
    throw new ConfigError(`${path}: ${error.message}`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    const target = process.argv[2] ?? 'supergraph.graphql';
    writeFileSync(target, composeSupergraph(loadConfig().subgraphs));
    console.log(`wrote ${target}`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
