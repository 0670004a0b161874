import { Kind, parse, visit } from 'graphql';
import { ConfigError } from './config.mjs';

const DIRECTIVES = ['authenticated', 'requiresScopes', 'policy'];
const FEDERATION = 'https://specs.apollo.dev/federation/';

/**
 * A subgraph's SDL without the authorisation directives, which only Apollo's router enforces:
 * @apollo/gateway refuses a supergraph that carries them. For a subgraph that checks every caller
 * itself they say nothing new here; for any other they must stay, and the refusal with them.
 */
export function withoutAuthorization(document) {
  const dropped = localNames(document);
  return visit(document, { Directive: (node) => (dropped.has(node.name.value) ? null : undefined) });
}

/** @throws {ConfigError} when the supergraph relies on the gateway to authorise callers */
export function refuseUnenforcedAuthorization(supergraphSdl) {
  const unenforced = new Set();
  visit(parse(supergraphSdl), {
    Directive(node) {
      if (DIRECTIVES.includes(node.name.value)) unenforced.add(`@${node.name.value}`);
    },
  });
  if (unenforced.size === 0) return;
  throw new ConfigError(
    `this gateway does not enforce ${[...unenforced].sort().join(' or ')}: set "enforcesAuthorization" for the ` +
      'subgraphs that check every caller themselves, or run the others behind Apollo Router',
  );
}

function localNames(document) {
  const names = new Set(DIRECTIVES.map((name) => `federation__${name}`));
  visit(document, {
    Directive(node) {
      if (node.name.value !== 'link' || !textOf(argument(node, 'url')).startsWith(FEDERATION)) return;
      for (const entry of argument(node, 'import')?.values ?? []) {
        const [name, local] = imported(entry);
        if (DIRECTIVES.includes(name)) names.add(local);
      }
    },
  });
  return names;
}

function imported(entry) {
  if (entry.kind === Kind.STRING) return [bare(entry.value), bare(entry.value)];
  const field = (name) => entry.fields?.find((candidate) => candidate.name.value === name)?.value;
  const name = textOf(field('name'));
  return [bare(name), bare(textOf(field('as')) || name)];
}

function argument(node, name) {
  return node.arguments?.find((candidate) => candidate.name.value === name)?.value;
}

function textOf(value) {
  return value?.kind === Kind.STRING ? value.value : '';
}

function bare(name) {
  return name.replace(/^@/, '');
}
