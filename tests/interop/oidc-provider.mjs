// npm's oidc-provider as an authorization server on loopback, and an API that takes its tokens.
//
//   node oidc-provider.mjs MODULE DIRECTORY
//
// MODULE: where `oidc-provider` is installed. DIRECTORY: has server.pem, server.key, ca.pem, own.pem, and rsa.pub, ec.pub,
// ed.pub (PEM); gets `ready`, a line of name and value for each thing to know, once all is listening. The API says whose token it was and its number; a POST to /revoke
// makes all tokens void.

import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer as http } from 'node:http';
import { createServer as https } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [module, directory] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(createRequire(join(module, 'x.js')).resolve('oidc-provider')));
const file = (name) => readFileSync(join(directory, name), 'utf8');
const jwk = (name) => ({ ...createPublicKey(file(name)).export({ format: 'jwk' }), kid: name, use: 'sig' });

const tls = https({
  cert: file('server.pem'),
  key: file('server.key'),
  ca: file('ca.pem'),
  requestCert: true,
  rejectUnauthorized: false,
});
await new Promise((resolve) => tls.listen(0, '127.0.0.1', resolve));
const issuer = `https://localhost:${tls.address().port}`;

const secret = 's3cret/+%: of sixty-four characters, so that HMAC may be made with it';
const machine = (name, more) => ({
  client_id: name,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  ...more,
});
const keys = { keys: [jwk('rsa.pub'), jwk('ec.pub'), jwk('ed.pub')] };
const own = new X509Certificate(file('own.pem'));
const person = (name, more) => ({
  client_id: name,
  token_endpoint_auth_method: 'none',
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1/callback'],
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token'],
  ...more,
});

const clients = [
  machine('client_secret_basic', { client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' }),
  machine('client_secret_post', { client_secret: secret, token_endpoint_auth_method: 'client_secret_post' }),
  machine('none', { token_endpoint_auth_method: 'none' }),
  machine('client_secret_jwt', { client_secret: secret, token_endpoint_auth_method: 'client_secret_jwt' }),
  machine('private_key_jwt', { jwks: keys, token_endpoint_auth_method: 'private_key_jwt' }),
  machine('tls_client_auth', {
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: 'CN=interop client',
  }),
  machine('self_signed_tls_client_auth', {
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    jwks: {
      keys: [{
        ...createPublicKey(own.publicKey.export({ format: 'pem', type: 'spki' })).export({ format: 'jwk' }),
        use: 'sig',
        x5c: [own.raw.toString('base64')],
      }],
    },
  }),
  machine('dpop', {
    client_secret: secret,
    token_endpoint_auth_method: 'client_secret_basic',
    dpop_bound_access_tokens: true,
  }),
  person('refreshing', { client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' }),
  person('browser'),
  person('device', {
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    redirect_uris: [],
    response_types: [],
  }),
];

const peer = (ctx) => {
  const certificate = ctx.socket.getPeerCertificate();
  return certificate?.raw ? new X509Certificate(certificate.raw) : undefined;
};

const provider = new Provider(issuer, {
  clients,
  clientAuthMethods: [
    'none', 'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth',
    'self_signed_tls_client_auth',
  ],
  scopes: ['openid', 'offline_access', 'orders'],
  rotateRefreshToken: true,
  // RFC 8252 §7.3: any port of loopback.
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: async () => false,
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  ttl: { ClientCredentials: 600, AccessToken: 600, RefreshToken: 3600, Grant: 3600 },
  cookies: { keys: ['loopback alone'] },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true, allowReplay: false },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => peer(ctx)?.toString(),
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) => peer(ctx)?.subject === expected,
    },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: async (ctx, resource) => ({ scope: 'orders', audience: resource, accessTokenFormat: 'opaque' }),
      useGrantedResource: async () => true,
      defaultResource: async () => undefined,
    },
  },
});
provider.proxy = false;
tls.on('request', provider.callback());
provider.on('server_error', (ctx, error) => console.error('server error', error));
provider.on('grant.error', (ctx, error) => console.error('grant error', error.message, error.error_detail ?? ''));

// A refresh token as a login would have brought it, for `grant: refresh_token`.
const client = await provider.Client.find('refreshing');
const grant = new provider.Grant({ accountId: 'somebody', clientId: client.clientId });
grant.addOIDCScope('openid offline_access orders');
const grantId = await grant.save();
const refresh_token = await new provider.RefreshToken({
  accountId: 'somebody', client, grantId, gty: 'authorization_code', scope: 'openid offline_access orders',
}).save();

// The API.
const known = new Map();
const nonce = 'one-that-the-API-has-thought-of';
const proofs = new Set();
const api = http(async (request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  };
  if (request.method === 'POST' && request.url === '/revoke') {
    for (const entry of known.values()) entry.revoked = true;
    return answer(200, { revoked: known.size });
  }
  const [scheme, value] = (request.headers.authorization ?? '').split(' ');
  const token = value && (await provider.ClientCredentials.find(value) ?? await provider.AccessToken.find(value));
  const bound = token?.jkt ? 'DPoP' : 'Bearer';
  const refuse = (error) => {
    response.setHeader('www-authenticate', `${bound} error="${error}"`);
    answer(401, { error });
  };
  if (!token || scheme !== bound || known.get(value)?.revoked) return refuse('invalid_token');
  const proof = token.jkt && proven(token, value, request);
  if (token.jkt && !proof) return refuse('invalid_dpop_proof');
  if (token.jkt && proof.nonce !== nonce) {
    response.setHeader('dpop-nonce', nonce);
    return refuse('use_dpop_nonce');
  }
  if (!known.has(value)) known.set(value, { number: known.size + 1 });
  answer(200, {
    client: token.clientId, user: token.accountId, token: known.get(value).number, aud: token.aud, scope: token.scope, scheme,
  });
});
await new Promise((resolve) => api.listen(0, '127.0.0.1', resolve));

// RFC 9449 §4.3: the proof is signed with the key that the token is bound to, for this token and this request, and new.
function proven(token, value, request) {
  try {
    const parts = request.headers.dpop.split('.');
    const [header, payload] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
    const { crv, e, kty, n, x, y } = header.jwk;
    const members = kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x };
    const digest = (text) => createHash('sha256').update(text).digest('base64url');
    const key = { key: createPublicKey({ key: members, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
    const signed = verify(kty === 'OKP' ? null : 'sha256', `${parts[0]}.${parts[1]}`, key, Buffer.from(parts[2], 'base64url'));
    const right = signed && header.typ === 'dpop+jwt' && digest(JSON.stringify(members)) === token.jkt
      && payload.ath === digest(value) && payload.htm === request.method && !proofs.has(payload.jti)
      && new URL(payload.htu).pathname === new URL(request.url, 'http://x').pathname
      && Math.abs(payload.iat - Date.now() / 1000) < 60;
    proofs.add(payload.jti);
    return right && payload;
  } catch {
    return undefined;
  }
}

const ready = { ISSUER: issuer, API: `http://127.0.0.1:${api.address().port}`, SECRET: secret, REFRESH_TOKEN: refresh_token };
writeFileSync(join(directory, 'ready.new'), Object.entries(ready).map(([name, value]) => `${name} ${value}\n`).join(''));
renameSync(join(directory, 'ready.new'), join(directory, 'ready'));
