// oidc-provider with its own sign-in pages, for one test. It prints
// "ready <issuer>", and ends when its standard input does, so that it ends with
// the test that started it.
import { createServer } from 'node:http';
import process from 'node:process';

import Provider, { errors } from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';
import LRU from 'oidc-provider/lib/helpers/lru.js';

const {
  clients, clientSecret, idTokenAlg, accessTokenSeconds, keys,
  // The scopes of each API, by its resource indicator. Tokens for one are JWTs.
  apis = {},
  // The ID of a client that gets tokens for itself, if any.
  machineID,
  // How many sessions, grants and tokens it remembers. The default, 1,000, is
  // enough for a test, and too few for hundreds of people.
  maxEntries,
} = JSON.parse(process.argv[2]);

// The pages of devInteractions accept any name, so that is the account.
async function findAccount(ctx, sub) {
  return {
    accountId: sub,
    claims: async () => ({
      sub,
      name: `Person ${sub}`,
      email: `${sub}@example.com`,
      picture: `https://example.com/${sub}.png`,
    }),
  };
}

const configuration = {
  clients: clients.map(({ clientID, baseURL }) => ({
    client_id: clientID,
    client_secret: clientSecret,
    redirect_uris: [`${baseURL}/callback`],
    post_logout_redirect_uris: [`${baseURL}/`],
    backchannel_logout_uri: `${baseURL}/backchannel-logout`,
    backchannel_logout_session_required: true,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: idTokenAlg,
  })).concat(machineID ? {
    client_id: machineID,
    client_secret: clientSecret,
    redirect_uris: [],
    grant_types: ['client_credentials'],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: idTokenAlg,
  } : []),
  claims: { openid: ['sub'], profile: ['name', 'picture'], email: ['email'] },
  cookies: { keys: ['a key for one test'] },
  // The default list is without ES384.
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] },
  features: {
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: Boolean(machineID) },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(ctx, resource) {
        if (!(resource in apis)) throw new errors.InvalidTarget();
        return {
          audience: resource,
          scope: apis[resource],
          accessTokenTTL: accessTokenSeconds,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: idTokenAlg } },
        };
      },
    },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  // The given dispatcher refuses loopback addresses, at which the applications
  // receive logout tokens.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  findAccount,
  // The test makes the keys, since Node 20 sometimes hangs when it makes one.
  jwks: { keys },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: accessTokenSeconds, IdToken: 3600 },
};
if (maxEntries) {
  const memory = new LRU({ maxSize: maxEntries });
  configuration.adapter = (model) => new MemoryAdapter(model, memory);
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on('backchannel.error', (ctx, err, client) => {
    process.stderr.write(`logout token for ${client.clientId}: ${err.message}\n`);
  });
  server.on('request', provider.callback());
  process.stdout.write(`ready ${issuer}\n`);
});
process.stdin.resume().on('end', () => process.exit(0));
