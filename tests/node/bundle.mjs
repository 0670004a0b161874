// Usage: node bundle.mjs KEY.pem BUNDLE.json [ARTIFACT]
// Verifies a Sigstore bundle with the one key that its hint has to name; prints {"verified": true}, or {"verified": false, "code"}.
import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, Verifier } from '@sigstore/verify';

const [keyFile, bundleFile, artifactFile] = process.argv.slice(2);
const publicKey = createPublicKey(readFileSync(keyFile));
const spki = publicKey.export({ format: 'der', type: 'spki' });
const hint = createHash('sha256').update(spki).digest('base64');

const trustMaterial = {
  certificateAuthorities: [],
  timestampAuthorities: [],
  tlogs: [],
  ctlogs: [],
  publicKey: (named) => {
    if (named !== hint) throw Object.assign(new Error('the hint names another key'), { code: 'HINT' });
    return { publicKey, validFor: () => true };
  },
};

try {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(bundleFile, 'utf8')));
  const artifact = artifactFile && readFileSync(artifactFile);
  const verifier = new Verifier(trustMaterial, { ctlogThreshold: 0, tlogThreshold: 0, tsaThreshold: 0 });
  verifier.verify(toSignedEntity(bundle, artifact));
  console.log(JSON.stringify({ verified: true }));
} catch (error) {
  console.log(JSON.stringify({ verified: false, code: error.code ?? error.name }));
}
