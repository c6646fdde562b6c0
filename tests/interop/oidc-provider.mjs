// npm's oidc-provider as an authorization server on loopback, and an API that takes its tokens.
//
//   node oidc-provider.mjs MODULE DIRECTORY
//
// MODULE: where `oidc-provider` is installed. DIRECTORY: has server.pem, server.key, ca.pem, own.pem, and rsa.pub, ec.pub,
// ed.pub (PEM); gets `ready`, a line of name and value for each thing to know, once all is listening. The API says whose token it was and its number; a POST to /revoke
// makes all tokens void.

import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer as http } from 'node:http';
import { createServer as https } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [module, directory] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(createRequire(join(module, 'x.js')).resolve('oidc-provider')));
const file = (name) => readFileSync(join(directory, name), 'utf8');
const jwk = (name, alg) => ({ ...createPublicKey(file(name)).export({ format: 'jwk' }), kid: name, use: 'sig', alg });

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
const keys = { keys: [jwk('rsa.pub', 'RS256'), jwk('ec.pub', 'ES256'), jwk('ed.pub', 'EdDSA')] };
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
const api = http(async (request, response) => {
  const answer = (status, body) => {
    const fields = { 'content-type': 'application/json' };
    if (status === 401) fields['www-authenticate'] = 'Bearer error="invalid_token"';
    response.writeHead(status, fields).end(`${JSON.stringify(body)}\n`);
  };
  if (request.method === 'POST' && request.url === '/revoke') {
    for (const entry of known.values()) entry.revoked = true;
    return answer(200, { revoked: known.size });
  }
  const [scheme, value] = (request.headers.authorization ?? '').split(' ');
  const token = value && (await provider.ClientCredentials.find(value) ?? await provider.AccessToken.find(value));
  const bound = token?.jkt ? 'DPoP' : 'Bearer';
  if (!token || scheme !== bound || known.get(value)?.revoked) return answer(401, { error: 'invalid_token' });
  if (token.jkt && !proves(token, value, request)) return answer(401, { error: 'invalid_dpop_proof' });
  if (!known.has(value)) known.set(value, { number: known.size + 1 });
  answer(200, {
    client: token.clientId, user: token.accountId, token: known.get(value).number, aud: token.aud, scope: token.scope, scheme,
  });
});
await new Promise((resolve) => api.listen(0, '127.0.0.1', resolve));

// RFC 9449 §4.3, as far as the API must: the proof is for this token and this request. Its key is that of the token.
function proves(token, value, request) {
  try {
    const [header, payload] = request.headers.dpop.split('.').map((part) => JSON.parse(Buffer.from(part, 'base64url')));
    const { crv, e, kty, n, x, y } = header.jwk;
    const members = kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x };
    const thumb = createHash('sha256').update(JSON.stringify(members)).digest('base64url');
    const ath = createHash('sha256').update(value).digest('base64url');
    return thumb === token.jkt && payload.ath === ath && payload.htm === request.method
      && new URL(payload.htu).pathname === new URL(request.url, 'http://x').pathname;
  } catch {
    return false;
  }
}

const ready = { ISSUER: issuer, API: `http://127.0.0.1:${api.address().port}`, SECRET: secret, REFRESH_TOKEN: refresh_token };
writeFileSync(join(directory, 'ready.new'), Object.entries(ready).map(([name, value]) => `${name} ${value}\n`).join(''));
renameSync(join(directory, 'ready.new'), join(directory, 'ready'));
