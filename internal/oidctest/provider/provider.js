// Runs oidc-provider on loopback for a test, until its standard input ends. The one
// argument names a JSON file, written by provider.go, whose people are read again at
// each use; what it is called is printed once it listens.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const read = () => JSON.parse(readFileSync(process.argv[2], 'utf8'));
const config = read();

const server = createServer();
server.listen(config.port, config.host, () => {
  const issuer = `http://${config.host}:${server.address().port}${config.path}`;
  // Every start has keys of its own, as after a rotation.
  const { privateKey } = config.alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: config.alg }] },
    cookies: { keys: ['of these tests'] },
    clients: [
      {
        client_id: config.client, token_endpoint_auth_method: config.method, ...(config.secret && { client_secret: config.secret }),
        redirect_uris: [config.redirect], post_logout_redirect_uris: [config.signedOut], id_token_signed_response_alg: config.alg,
      },
      { // a CI system that asks for tokens of its jobs
        client_id: 'ci', client_secret: 'secret of ci', grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
        id_token_signed_response_alg: config.alg,
      },
    ],
    pkce: { required: () => true, methods: ['S256'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username', 'name', 'groups'] },
    // As OpenID Connect Core 5.4 has it, claims of scopes are told at the userinfo endpoint
    // alone where there is an access token; many providers put them into the ID token, too.
    conformIdTokenClaims: !config.inToken,
    findAccount: (_, id) => read().people[id] && { accountId: id, claims: () => ({ sub: id, ...read().people[id] }) },
    extraTokenClaims: (_, token) => (token.clientId === 'ci' ? read().job : undefined),
    enabledJWA: { idTokenSigningAlgValues: [config.alg] },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: '', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: config.alg } },
        }),
      },
    },
  });
  provider.use(async (ctx, next) => {
    await next();
    if (typeof ctx.body === 'string') { // pages would load a font from elsewhere
      ctx.body = ctx.body.replace(/@import url\([^)]*\);/, '');
    }
  });
  const answer = provider.callback();
  server.on('request', (req, res) => {
    if (!req.url.startsWith(config.path)) {
      res.writeHead(404).end();
      return;
    }
    req.originalUrl = req.url; // where it says it is mounted
    req.url = req.url.slice(config.path.length) || '/';
    answer(req, res);
  });
  console.log(issuer);
});
process.stdin.on('end', () => process.exit()).resume();
