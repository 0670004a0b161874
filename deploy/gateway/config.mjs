import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const SECRET_MIN_LENGTH = 32;
const FLAGS = ['provesGateway', 'enforcesAuthorization'];
const VARIABLES = new Set([
  'GATEWAY_CONFIG',
  'GATEWAY_HOST',
  'GATEWAY_PORT',
  'GATEWAY_SUPERGRAPH',
  'GATEWAY_INTROSPECTION',
  'GATEWAY_MAX_BODY_BYTES',
  'GATEWAY_SUBGRAPH_TIMEOUT_MS',
]);

/** A setting or file that cannot be used; the message is for the person who started the gateway. */
export class ConfigError extends Error {}

/**
 * Reads the gateway's configuration from the environment and from the JSON file that it names.
 *
 * @returns {{host: string, port: number, supergraphFile?: string, introspection: boolean,
 *   production: boolean, maxBodyBytes: number, subgraphTimeoutMs: number, gatewaySecret?: string,
 *   subgraphs: {name: string, url: string, sdlFile?: string,
 *   provesGateway: boolean, enforcesAuthorization: boolean}[]}}
 * @throws {ConfigError} for an unknown variable or key, and for a value that does not fit.
 */
export function loadConfig(env = process.env) {
  const unknown = Object.keys(env).filter((name) => name.startsWith('GATEWAY_') && !VARIABLES.has(name));
  if (unknown.length > 0) throw new ConfigError(`unknown settings: ${unknown.sort().join(', ')}`);
  const production = env.NODE_ENV === 'production';
  const config = {
    host: env.GATEWAY_HOST || '127.0.0.1',
    port: integer(env, 'GATEWAY_PORT', 4000, 0, 65535),
    supergraphFile: env.GATEWAY_SUPERGRAPH && resolve(env.GATEWAY_SUPERGRAPH),
    introspection: flag(env, 'GATEWAY_INTROSPECTION', !production),
    production,
    maxBodyBytes: integer(env, 'GATEWAY_MAX_BODY_BYTES', 1_048_576, 1),
    subgraphTimeoutMs: integer(env, 'GATEWAY_SUBGRAPH_TIMEOUT_MS', 10_000, 1),
    gatewaySecret: readSecret(env),
    subgraphs: readSubgraphs(env.GATEWAY_CONFIG ? resolve(env.GATEWAY_CONFIG) : resolve(HERE, 'gateway.json')),
  };
  const proving = config.subgraphs.filter((subgraph) => subgraph.provesGateway);
  if (production && proving.length > 0 && config.gatewaySecret === undefined) {
    throw new ConfigError(`production needs IG_GATEWAY_SECRET or IG_GATEWAY_SECRET_FILE for "${proving[0].name}"`);
  }
  return config;
}

/** Reads a file that the configuration names, or says which one is missing. */
export function readConfigured(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`cannot read ${path}: ${error.code ?? error.message}`);
  }
}

function readSubgraphs(path) {
  const document = parseJson(path);
  refuseUnknownKeys(document, ['subgraphs'], path);
  if (!Array.isArray(document.subgraphs) || document.subgraphs.length === 0) {
    throw new ConfigError(`${path}: "subgraphs" must be a list with at least one entry`);
  }
  const subgraphs = document.subgraphs.map((entry) => readSubgraph(entry, path));
  const names = new Set(subgraphs.map((subgraph) => subgraph.name));
  if (names.size !== subgraphs.length) throw new ConfigError(`${path}: two subgraphs share a name`);
  return subgraphs;
}

function readSubgraph(entry, path) {
  refuseUnknownKeys(entry, ['name', 'url', 'sdl', ...FLAGS], path);
  const { name, url, sdl } = entry;
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_-]*$/.test(name)) {
    throw new ConfigError(`${path}: the name of a subgraph is lower case and starts with a letter`);
  }
  if (typeof url !== 'string' || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new ConfigError(`${path}: "${name}" needs an http or https url`);
  }
  if (sdl !== undefined && typeof sdl !== 'string') throw new ConfigError(`${path}: "sdl" of "${name}" is a path`);
  const flags = FLAGS.map((key) => [key, entry[key] ?? false]);
  const odd = flags.find(([, value]) => typeof value !== 'boolean');
  if (odd) throw new ConfigError(`${path}: "${odd[0]}" of "${name}" is true or false`);
  return { name, url, sdlFile: sdl && resolve(dirname(path), sdl), ...Object.fromEntries(flags) };
}

function readSecret(env) {
  if (env.IG_GATEWAY_SECRET && env.IG_GATEWAY_SECRET_FILE) {
    throw new ConfigError('set IG_GATEWAY_SECRET or IG_GATEWAY_SECRET_FILE, not both');
  }
  const secret = env.IG_GATEWAY_SECRET_FILE
    ? readConfigured(env.IG_GATEWAY_SECRET_FILE).trim()
    : env.IG_GATEWAY_SECRET || undefined;
  if (secret !== undefined && (secret.length < SECRET_MIN_LENGTH || !/^[\x21-\x7e]+$/.test(secret))) {
    throw new ConfigError(`the gateway secret needs ${SECRET_MIN_LENGTH} printable characters and no space`);
  }
  return secret;
}

function parseJson(path) {
  try {
    return JSON.parse(readConfigured(path));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${path} is not JSON: ${error.message}`);
  }
}

function refuseUnknownKeys(value, known, path) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new ConfigError(`${path}: expected an object`);
  }
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new ConfigError(`${path}: unknown keys: ${unknown.join(', ')}`);
}

function integer(env, name, fallback, least, most = Number.MAX_SAFE_INTEGER) {
  if (!env[name]) return fallback;
  const value = Number(env[name]);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError(`${name} must be a whole number from ${least}${most < 1e9 ? ` to ${most}` : ''}`);
  }
  return value;
}

function flag(env, name, fallback) {
  if (!env[name]) return fallback;
  if (env[name] !== 'true' && env[name] !== 'false') throw new ConfigError(`${name} must be true or false`);
  return env[name] === 'true';
}
