package signintest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An effect is what a fault changes: one of the fields, or two where a token
// and the published keys belong together. p.mu is held in keys, idToken,
// accessToken and logoutToken, and in no other.
type effect struct {
	at     endpoint // where answer stands in place of the right answer
	answer func(*Provider, http.ResponseWriter, *http.Request)

	ignoreMaxAge bool // at the authorization endpoint
	ignorePKCE   bool // when a code is exchanged

	response    func(url.Values)                     // the authorization response
	tokens      func(body map[string]any)            // the token response
	userInfo    func(claims map[string]any)          // the userinfo response
	signOut     func(url.Values)                     // the way back from the end session endpoint
	metadata    func(*Provider, map[string]any)      // the metadata document
	keys        func(*Provider, *jose.JSONWebKeySet) // the published keys
	idToken     func(*Provider, *jwt)                // before it is signed
	accessToken func(*Provider, *jwt)                // before it is signed
	logoutToken func(*Provider, *jwt)                // before it is signed
}

const (
	foreignIssuer  = "https://other-provider.example/oidc"
	foreignClient  = "other-client"
	foreignSubject = "mallory00001"
	foreignAPI     = "https://other-api.example"
)

// effects are never changed.
var effects = map[Fault]*effect{
	ResponseIssuerWrong:   {response: func(q url.Values) { q.Set("iss", foreignIssuer) }},
	ResponseIssuerMissing: {response: func(q url.Values) { q.Del("iss") }},
	ResponseIssuerTwice:   {response: func(q url.Values) { q.Add("iss", q.Get("iss")) }},
	ResponseStateWrong:    {response: func(q url.Values) { q.Set("state", "1"+random()) }},
	ResponseStateMissing:  {response: func(q url.Values) { q.Del("state") }},
	ResponseStateTwice:    {response: func(q url.Values) { q.Add("state", q.Get("state")) }},
	ResponseCodeWrong:     {response: func(q url.Values) { q.Set("code", random()) }},
	ResponseCodeTwice:     {response: func(q url.Values) { q.Add("code", q.Get("code")) }},
	ResponseCodeHuge:      {response: func(q url.Values) { q.Set("code", strings.Repeat("c", 100<<10)) }},
	ResponseCodeAndError:  {response: func(q url.Values) { q.Set("error", "access_denied") }},
	ResponseErrorTwice:    {response: func(q url.Values) { q.Del("code"); q["error"] = []string{"access_denied", "access_denied"} }},
	ResponseEmpty:         {response: func(q url.Values) { q.Del("code"); q.Del("error"); q.Del("error_description") }},
	ResponseErrorMarkup:   {response: denied("<script>alert(1)</script>\r\nSet-Cookie: signin=x\r\n")},
	ResponseServerError:   {response: func(q url.Values) { q.Del("code"); q.Set("error", "server_error") }},

	IgnoreMaxAge: {ignoreMaxAge: true},
	IgnorePKCE:   {ignorePKCE: true},

	IDTokenIssuerWrong:      {idToken: set("iss", foreignIssuer)},
	IDTokenIssuerMissing:    {idToken: drop("iss")},
	IDTokenIssuerSlash:      {idToken: func(p *Provider, t *jwt) { t.claims["iss"] = p.Issuer + "/" }},
	IDTokenIssuerCase:       {idToken: func(p *Provider, t *jwt) { t.claims["iss"] = strings.ToUpper(p.Issuer) }},
	IDTokenIssuerPort:       {idToken: func(p *Provider, t *jwt) { t.claims["iss"] = p.URL + "0/oidc" }},
	IDTokenAudienceWrong:    {idToken: set("aud", foreignClient)},
	IDTokenAudienceMissing:  {idToken: drop("aud")},
	IDTokenAudienceArray:    {idToken: func(p *Provider, t *jwt) { t.claims["aud"] = []string{p.settings.clientID} }},
	IDTokenAudienceExtra:    {idToken: secondAudience(true)},
	IDTokenAudienceNoAZP:    {idToken: secondAudience(false)},
	IDTokenAZPWrong:         {idToken: set("azp", foreignClient)},
	IDTokenNonceWrong:       {idToken: set("nonce", "another-nonce")},
	IDTokenNonceMissing:     {idToken: drop("nonce")},
	IDTokenSIDMissing:       {idToken: drop("sid")},
	IDTokenSubjectWrong:     {idToken: set("sub", foreignSubject)},
	IDTokenSubjectMissing:   {idToken: drop("sub")},
	IDTokenSubjectLong:      {idToken: set("sub", strings.Repeat("s", 300))},
	IDTokenSubjectNonASCII:  {idToken: set("sub", "alicé")},
	IDTokenIssuedAtMissing:  {idToken: drop("iat")},
	IDTokenIssuedAtOld:      {idToken: setTime("iat", -24*time.Hour)},
	IDTokenIssuedAtAhead:    {idToken: setTime("iat", 24*time.Hour)},
	IDTokenExpired:          {idToken: setTime("exp", -10*time.Minute)},
	IDTokenExpiryMissing:    {idToken: drop("exp")},
	IDTokenExpiryText:       {idToken: func(p *Provider, t *jwt) { t.claims["exp"] = strconv.FormatInt(p.now().Unix()+3600, 10) }},
	IDTokenExpiryHuge:       {idToken: set("exp", json.RawMessage("1e400"))},
	IDTokenDuplicateClaim:   {idToken: duplicateSubject},
	IDTokenAuthTimeMissing:  {idToken: drop("auth_time")},
	IDTokenAuthTimeZero:     {idToken: set("auth_time", 0)},
	IDTokenAuthTimeStale:    {idToken: setTime("auth_time", -7*24*time.Hour)},
	IDTokenACRMissing:       {idToken: drop("acr")},
	IDTokenAtHashWrong:      {idToken: func(_ *Provider, t *jwt) { t.claims["at_hash"] = t.hash("another token") }},
	IDTokenAtHashRight:      {idToken: func(_ *Provider, t *jwt) { t.claims["at_hash"] = t.hash(t.accessToken) }},
	IDTokenCHashPresent:     {idToken: func(_ *Provider, t *jwt) { t.claims["c_hash"] = t.hash(t.code) }},
	IDTokenAlgNone:          {idToken: unsigned},
	IDTokenHS256PEM:         {idToken: hs256(publicPEM)},
	IDTokenHS256DER:         {idToken: hs256(publicDER)},
	IDTokenHS256Modulus:     {idToken: hs256(publicNumber)},
	IDTokenHS256Secret:      {idToken: hs256(func(p *Provider) []byte { return []byte(p.settings.clientSecret) })},
	IDTokenOtherAlgorithm:   {idToken: signOther, keys: publishOther},
	IDTokenSignatureInvalid: {idToken: badSignature},
	IDTokenKeyIDUnknown:     {idToken: signForeign},
	IDTokenKeyIDMissing:     {idToken: func(_ *Provider, t *jwt) { delete(t.header, "kid") }},
	IDTokenHeaderJWK:        {idToken: foreignJWK},
	IDTokenHeaderJKU:        {idToken: foreignAt("jku")},
	IDTokenHeaderX5U:        {idToken: foreignAt("x5u")},
	IDTokenHeaderCrit:       {idToken: unknownCrit},
	IDTokenEncrypted:        {idToken: func(_ *Provider, t *jwt) { t.finish = encrypted }},
	IDTokenKeyForEncryption: {idToken: signForeign, keys: publishForEncryption},

	AccessTokenIssuerWrong:      {accessToken: set("iss", foreignIssuer)},
	AccessTokenAudienceWrong:    {accessToken: set("aud", foreignAPI)},
	AccessTokenAudienceClientID: {accessToken: func(p *Provider, t *jwt) { t.claims["aud"] = p.settings.clientID }},
	AccessTokenExpired:          {accessToken: setTime("exp", -10*time.Minute)},
	AccessTokenNotYetValid:      {accessToken: setTime("nbf", 10*time.Minute)},
	AccessTokenAlgNone:          {accessToken: unsigned},
	AccessTokenHS256PEM:         {accessToken: hs256(publicPEM)},
	AccessTokenSignatureInvalid: {accessToken: badSignature},
	AccessTokenKeyIDUnknown:     {accessToken: signForeign},
	AccessTokenTypeJWT:          {accessToken: func(_ *Provider, t *jwt) { t.header["typ"] = "JWT" }},
	AccessTokenTypeMissing:      {accessToken: func(_ *Provider, t *jwt) { delete(t.header, "typ") }},
	AccessTokenSubjectMissing:   {accessToken: drop("sub")},
	AccessTokenClientIDMissing:  {accessToken: drop("client_id")},
	AccessTokenHeaderCrit:       {accessToken: unknownCrit},

	TokensNoIDToken:       {tokens: without("id_token")},
	TokensNoRefreshToken:  {tokens: without("refresh_token")},
	TokensNoAccessToken:   {tokens: without("access_token")},
	TokensTypeOddCase:     {tokens: with("token_type", "bEARER")},
	TokensExpiresInText:   {tokens: with("expires_in", "3600")},
	TokensExpiresInZero:   {tokens: with("expires_in", 0)},
	TokensExpiresInAbsent: {tokens: without("expires_in")},
	TokensExpiresInAbsurd: {tokens: with("expires_in", int64(9e15))},

	TokenInvalidGrant:   {at: atToken, answer: refuse(400, "invalid_grant", "grant request is invalid")},
	TokenInvalidClient:  {at: atToken, answer: refuse(401, "invalid_client", "client authentication failed")},
	TokenSecretExpired:  {at: atToken, answer: refuse(400, "invalid_request", "client secret has expired")},
	TokenInvalidRequest: {at: atToken, answer: refuse(400, "invalid_request", "request is invalid")},
	TokenInvalidTarget:  {at: atToken, answer: refuse(400, "invalid_target", "resource indicator is missing, or unknown")},
	TokenInvalidScope:   {at: atToken, answer: refuse(400, "invalid_scope", "requested scope is invalid")},
	TokenForbidden:      {at: atToken, answer: refuse(403, "access_denied", "user is not a member of the organization")},
	TokenEmpty400:       {at: atToken, answer: status(400)},
	Token429:            {at: atToken, answer: tooMany},
	Token500:            {at: atToken, answer: status(500)},
	TokenHTML:           {at: atToken, answer: page},
	TokenGarbage:        {at: atToken, answer: garbage},
	TokenHang:           {at: atToken, answer: hang},
	TokenTrickle:        {at: atToken, answer: trickle},
	TokenEndless:        {at: atToken, answer: endless},
	TokenGzipBomb:       {at: atToken, answer: gzipBomb},
	TokenReset:          {at: atToken, answer: reset},
	TokenRedirect:       {at: atToken, answer: redirectHere},

	UserInfoSubjectWrong:   {userInfo: with("sub", foreignSubject)},
	UserInfoSubjectMissing: {userInfo: without("sub")},
	UserInfoContentType:    {at: atUserInfo, answer: userInfoAsPage},
	UserInfoIDToken:        {at: atUserInfo, answer: idTokenAsUserInfo},
	UserInfo401:            {at: atUserInfo, answer: refuse(401, "invalid_token", "invalid token provided")},
	UserInfo500:            {at: atUserInfo, answer: status(500)},
	UserInfoRedirect:       {at: atUserInfo, answer: redirectHere},
	UserInfoHang:           {at: atUserInfo, answer: hang},
	UserInfoEndless:        {at: atUserInfo, answer: endless},

	Discovery500:              {at: atDiscovery, answer: status(500)},
	DiscoveryHTML:             {at: atDiscovery, answer: page},
	DiscoveryGarbage:          {at: atDiscovery, answer: garbage},
	DiscoveryIssuerWrong:      {metadata: func(_ *Provider, doc map[string]any) { doc["issuer"] = foreignIssuer }},
	DiscoveryIssuerSlash:      {metadata: func(p *Provider, doc map[string]any) { doc["issuer"] = p.Issuer + "/" }},
	DiscoveryOtherProvider:    {metadata: otherProvider},
	DiscoveryNoResponseIssuer: {metadata: unlisted("authorization_response_iss_parameter_supported")},
	DiscoveryHTTPEndpoints:    {metadata: httpEndpoints},
	DiscoveryNoEndSession:     {metadata: unlisted("end_session_endpoint")},
	DiscoveryNoRevocation:     {metadata: unlisted("revocation_endpoint")},
	DiscoveryNoUserInfo:       {metadata: unlisted("userinfo_endpoint")},
	DiscoveryAlgNone:          {metadata: weakAlgorithms},
	DiscoveryHang:             {at: atDiscovery, answer: hang},
	DiscoveryTrickle:          {at: atDiscovery, answer: trickle},
	DiscoveryEndless:          {at: atDiscovery, answer: endless},
	DiscoveryGzipBomb:         {at: atDiscovery, answer: gzipBomb},

	Keys500:      {at: atKeys, answer: status(500)},
	KeysEmpty:    {keys: func(_ *Provider, set *jose.JSONWebKeySet) { set.Keys = []jose.JSONWebKey{} }},
	KeysReversed: {keys: func(_ *Provider, set *jose.JSONWebKeySet) { slices.Reverse(set.Keys) }},
	KeysGarbage:  {at: atKeys, answer: garbage},
	Keys10000:    {keys: manyKeys},
	KeysHang:     {at: atKeys, answer: hang},
	KeysEndless:  {at: atKeys, answer: endless},
	KeysGzipBomb: {at: atKeys, answer: gzipBomb},

	Revocation500:          {at: atRevocation, answer: status(500)},
	RevocationHang:         {at: atRevocation, answer: hang},
	RevocationRedirect:     {at: atRevocation, answer: redirectHere},
	EndSessionStateWrong:   {signOut: func(q url.Values) { q.Set("state", random()) }},
	EndSessionStateMissing: {signOut: func(q url.Values) { q.Del("state") }},

	LogoutTokenAlgNone:         {logoutToken: unsigned},
	LogoutTokenOtherAlgorithm:  {logoutToken: signOther, keys: publishOther},
	LogoutTokenSignature:       {logoutToken: badSignature},
	LogoutTokenIssuerWrong:     {logoutToken: set("iss", foreignIssuer)},
	LogoutTokenAudienceWrong:   {logoutToken: set("aud", foreignClient)},
	LogoutTokenNoEvents:        {logoutToken: drop("events")},
	LogoutTokenEventWrong:      {logoutToken: set("events", map[string]any{logoutEvent + "-not": map[string]any{}})},
	LogoutTokenEventsNull:      {logoutToken: set("events", nil)},
	LogoutTokenEventsText:      {logoutToken: set("events", logoutEvent)},
	LogoutTokenEventsArray:     {logoutToken: set("events", []string{logoutEvent})},
	LogoutTokenNonce:           {logoutToken: set("nonce", "a-nonce")},
	LogoutTokenIDMissing:       {logoutToken: drop("jti")},
	LogoutTokenIssuedAtOld:     {logoutToken: oldLogout},
	LogoutTokenIssuedAtAhead:   {logoutToken: setTime("iat", 10*time.Minute)},
	LogoutTokenIssuedAtMissing: {logoutToken: drop("iat")},
	LogoutTokenExpired:         {logoutToken: setTime("exp", -10*time.Minute)},
	LogoutTokenExpiryMissing:   {logoutToken: drop("exp")},
	LogoutTokenExtraClaim:      {logoutToken: set("urn:example:extra", "extra")},
	LogoutTokenNobody:          {logoutToken: drop("sub", "sid")},
}

func denied(description string) func(url.Values) {
	return func(q url.Values) {
		q.Del("code")
		q.Set("error", "access_denied")
		q.Set("error_description", description)
	}
}

func with(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}

func without(name string) func(map[string]any) {
	return func(m map[string]any) { delete(m, name) }
}

func unlisted(name string) func(*Provider, map[string]any) {
	return func(_ *Provider, doc map[string]any) { delete(doc, name) }
}

func set(claim string, value any) func(*Provider, *jwt) {
	return func(_ *Provider, t *jwt) { t.claims[claim] = value }
}

func setTime(claim string, offset time.Duration) func(*Provider, *jwt) {
	return func(p *Provider, t *jwt) { t.claims[claim] = p.now().Add(offset).Unix() }
}

func drop(claims ...string) func(*Provider, *jwt) {
	return func(_ *Provider, t *jwt) {
		for _, claim := range claims {
			delete(t.claims, claim)
		}
	}
}

func secondAudience(azp bool) func(*Provider, *jwt) {
	return func(p *Provider, t *jwt) {
		t.claims["aud"] = []string{p.settings.clientID, foreignClient}
		if azp {
			t.claims["azp"] = p.settings.clientID
		}
	}
}

func duplicateSubject(_ *Provider, t *jwt) {
	t.rewrite = func(payload []byte) []byte {
		return append([]byte(`{"sub":"`+foreignSubject+`",`), payload[1:]...)
	}
}

func oldLogout(p *Provider, t *jwt) {
	t.claims["iat"] = p.now().Add(-10 * time.Minute).Unix()
	delete(t.claims, "exp") // what is left to judge its age by
}

func unsigned(_ *Provider, t *jwt) {
	t.algorithm = "none"
	delete(t.header, "kid")
}

func badSignature(_ *Provider, t *jwt) { t.finish = breakSignature }

func signForeign(p *Provider, t *jwt) { t.signWith(p.spareKey()) }

func signOther(p *Provider, t *jwt) { t.signWith(p.otherKey()) }

func publishOther(p *Provider, set *jose.JSONWebKeySet) {
	set.Keys = append(set.Keys, p.otherKey().public())
}

func publishForEncryption(p *Provider, set *jose.JSONWebKeySet) {
	key := p.spareKey().public()
	key.Use = "enc"
	set.Keys = append(set.Keys, key)
}

func foreignJWK(p *Provider, t *jwt) {
	t.signWith(p.spareKey())
	t.header["jwk"] = p.spareKey().public()
}

func foreignAt(header string) func(*Provider, *jwt) {
	return func(p *Provider, t *jwt) {
		t.signWith(p.spareKey())
		t.header[header] = p.URL + foreignKeysPath
	}
}

func unknownCrit(_ *Provider, t *jwt) {
	t.header["crit"] = []string{"urn:example:crit"}
	t.header["urn:example:crit"] = true
}

// hs256 keys an HMAC with what everybody, or the client, knows.
// https://www.rfc-editor.org/rfc/rfc8725#section-2.1
func hs256(key func(*Provider) []byte) func(*Provider, *jwt) {
	return func(p *Provider, t *jwt) {
		k := key(p)
		if len(k) < 32 { // go-jose takes no shorter one; HMAC pads with zeros, so it is the same key
			k = append(k, make([]byte, 32-len(k))...)
		}
		t.algorithm, t.key = "HS256", k
	}
}

func publicDER(p *Provider) []byte {
	der, err := x509.MarshalPKIXPublicKey(p.keys[0].private.Public())
	must(err)
	return der
}

func publicPEM(p *Provider) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(p)})
}

func publicNumber(p *Provider) []byte {
	switch key := p.keys[0].private.Public().(type) {
	case *rsa.PublicKey:
		return key.N.Bytes()
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		must(err)
		return point
	default:
		return key.(ed25519.PublicKey)
	}
}
